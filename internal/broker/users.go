package broker

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
)

// users checks names and passwords of the configuration. It keeps only salted hashes, so that the
// passwords are in no dump of its memory, and takes the same time for a wrong
// name as for a wrong password.
type users struct {
	salt   [sha256.Size]byte
	hashes map[string][]byte // by name
}

func newUsers(list []User) *users {
	u := &users{hashes: make(map[string][]byte, len(list))}
	rand.Read(u.salt[:]) // never fails
	for _, user := range list {
		u.hashes[user.Name] = u.hash([]byte(user.Password))
	}
	return u
}

func (u *users) has(name string) bool { return u.hashes[name] != nil }

// allow tells whether such a client may connect.
func (u *users) allow(name string, password []byte) bool {
	hash := u.hash(password)
	want, known := u.hashes[name]
	if !known {
		want = make([]byte, sha256.Size) // no password has this hash
	}
	return hmac.Equal(hash, want) && known
}

func (u *users) hash(password []byte) []byte {
	h := hmac.New(sha256.New, u.salt[:])
	h.Write(password)
	return h.Sum(nil)
}
