// Command cloudflared is the fake as a program of its own, for tests of other
// systems' binaries: the arguments of the real one come in, and its contract is
// kept on loopback. It never reaches Cloudflare.
package main

import "fettle/internal/tunnel/fake"

func main() { fake.Main() }
