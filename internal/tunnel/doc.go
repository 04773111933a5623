// Package tunnel keeps the user's cloudflared running, so that the keyed
// listener can be reached from outside without an opening in the firewall.
//
// What comes in is which tunnel is wanted and where the listener is; what goes
// out is a fettle.Tunnel whenever something about it changes: its public
// address above all. cloudflared is started, watched, started again with
// growing pauses when it dies or hangs, and stopped with all that it started.
//
//	Run ── attempt ── child: cloudflared tunnel …
//	         │             ├── its log, kept and rotated
//	         └─ watch ─────┴── its metrics address: /ready, /quicktunnel
//	Run ── look ── https://public address/healthz
//
// The package never downloads cloudflared, never points it at the listener that
// knows the local user, never starts it while no key exists, never puts a token
// on a command line, and never changes a file that cloudflared keeps and that
// was there before.
//
// Setup does once what a named tunnel needs: sign in, make it, name it in the
// DNS, write its configuration.
package tunnel
