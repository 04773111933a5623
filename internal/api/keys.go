package api

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"fettle"
	"fettle/internal/db"
)

// A Scope is something that a key may be allowed to do.
type Scope string

// The scopes. Admin includes the others.
const (
	Read    Scope = "read"    // see everything but keys
	Write   Scope = "write"   // send readings
	Operate Scope = "operate" // acknowledge alarms, see and test who is told of them
	Admin   Scope = "admin"   // keys
)

// DefaultScopes are those of a key for which nobody said otherwise.
func DefaultScopes() []Scope { return []Scope{Read, Write, Operate} }

// A Key is what is known of an API key. The key itself is known to its owner
// only; what is stored is a hash of its secret.
type Key struct {
	ID       string     `json:"id" doc:"The middle part of the key, by which it is revoked"`
	Name     string     `json:"name" doc:"What or whom it is for"`
	Scopes   []Scope    `json:"scopes" enum:"read,write,operate,admin"`
	Created  time.Time  `json:"created"`
	LastUsed *time.Time `json:"last_used,omitempty" doc:"To the minute; absent while it was never used"`
}

// Allows tells whether the key has a scope.
func (k Key) Allows(s Scope) bool {
	return slices.Contains(k.Scopes, s) || slices.Contains(k.Scopes, Admin)
}

// Limits of the key ring.
const (
	maxKeys      = 1000
	usedRounding = time.Minute // how exactly the last use is kept, to spare the store
)

// Keys is the ring of API keys, kept in the store under "k/" and in memory.
// A change is in force when the call that made it returns.
//
// A key reads fet_<id>_<secret>: the id, 12 hexadecimal digits, finds it; the
// secret, 32 random bytes as 64 hexadecimal digits, proves it. Guessing 256
// random bits is hopeless, so a plain SHA-256 of the secret is enough; a slow
// password hash would only slow the callers.
type Keys struct {
	db  *db.DB
	now func() time.Time

	mu   sync.RWMutex // guards ring
	ring map[string]storedKey
}

// A storedKey is a key's record in the store, as JSON under "k/<id>".
type storedKey struct {
	Key
	Hash string `json:"hash"` // hexadecimal SHA-256 of the secret's text
}

const keyPrefix = "k/"

// OpenKeys reads the keys from the store. now is the wall clock.
func OpenKeys(d *db.DB, now func() time.Time) (*Keys, error) {
	k := &Keys{db: d, now: now, ring: map[string]storedKey{}}
	err := d.Ascend([]byte(keyPrefix), db.After([]byte(keyPrefix)), func(key, value []byte) error {
		var s storedKey
		if err := json.Unmarshal(value, &s); err != nil {
			return fmt.Errorf("read key %s: %w", key, err)
		}
		k.ring[s.ID] = s
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("open keys: %w", err)
	}
	return k, nil
}

// Create makes a key and returns its text, which cannot be had again. No
// scopes means DefaultScopes.
func (k *Keys) Create(name string, scopes []Scope) (text string, key Key, err error) {
	if err := checkKeyName(name); err != nil {
		return "", Key{}, err
	}
	if scopes, err = checkScopes(scopes); err != nil {
		return "", Key{}, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.ring) >= maxKeys {
		return "", Key{}, fettle.Errorf(fettle.Conflict, "create key: there are %d keys already, the limit; revoke one first", maxKeys)
	}
	id := randomHex(6)
	for _, taken := k.ring[id]; taken; _, taken = k.ring[id] {
		id = randomHex(6)
	}
	secret := randomHex(32)
	s := storedKey{Key: Key{ID: id, Name: name, Scopes: scopes, Created: k.now().UTC()}, Hash: hashText(secret)}
	if err := k.save(s, db.Synced); err != nil {
		return "", Key{}, fmt.Errorf("create key: %w", err)
	}
	k.ring[id] = s
	return "fet_" + id + "_" + secret, s.Key, nil
}

// Revoke ends a key, and every session opened with it.
func (k *Keys) Revoke(id string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, found := k.ring[id]; !found {
		return fettle.Errorf(fettle.NotFound, "no key %q", fettle.Shorten(id))
	}
	b := k.db.NewBatch()
	b.Delete([]byte(keyPrefix + id))
	if err := k.db.Commit(b, db.Synced); err != nil {
		return fmt.Errorf("revoke key %s: %w", id, err)
	}
	delete(k.ring, id)
	return nil
}

// List returns the keys, oldest first.
func (k *Keys) List() []Key {
	k.mu.RLock()
	defer k.mu.RUnlock()
	list := make([]Key, 0, len(k.ring))
	for _, s := range k.ring {
		list = append(list, s.Key)
	}
	slices.SortFunc(list, func(a, b Key) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
	})
	return list
}

// Any tells whether there is a key at all: without one nobody but the local
// user could come in, so that listening elsewhere would be a mistake.
func (k *Keys) Any() bool {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return len(k.ring) > 0
}

// Check finds the key that a text is, and notes its use.
func (k *Keys) Check(text string) (Key, bool) {
	rest, ok := strings.CutPrefix(text, "fet_")
	if !ok {
		return Key{}, false
	}
	id, secret, _ := strings.Cut(rest, "_")
	k.mu.RLock()
	s, found := k.ring[id]
	k.mu.RUnlock()
	same := subtle.ConstantTimeCompare([]byte(hashText(secret)), []byte(s.Hash)) == 1
	if !found || !same {
		return Key{}, false
	}
	return k.touch(s)
}

// Use finds a key by its id and notes its use: for sessions, which proved the
// secret when they began.
func (k *Keys) Use(id string) (Key, bool) {
	k.mu.RLock()
	s, found := k.ring[id]
	k.mu.RUnlock()
	if !found {
		return Key{}, false
	}
	return k.touch(s)
}

// touch notes that a key was used, and tells whether it still exists. The store
// hears of it at most once a minute and lazily; if that fails, only the note is
// lost.
func (k *Keys) touch(s storedKey) (Key, bool) {
	used := k.now().UTC().Truncate(usedRounding)
	if s.LastUsed != nil && !used.After(*s.LastUsed) {
		return s.Key, true
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	s, found := k.ring[s.ID]
	if !found { // revoked a moment ago: must not come back
		return Key{}, false
	}
	s.LastUsed = &used
	k.ring[s.ID] = s
	_ = k.save(s, db.Lazy)
	return s.Key, true
}

func (k *Keys) save(s storedKey, durability db.Durability) error {
	record, err := json.Marshal(s)
	if err != nil {
		return err
	}
	b := k.db.NewBatch()
	b.Set([]byte(keyPrefix+s.ID), record)
	return k.db.Commit(b, durability)
}

func checkKeyName(name string) error {
	printable := utf8.ValidString(name) && strings.IndexFunc(name, unicode.IsControl) < 0
	if strings.TrimSpace(name) == "" || len(name) > fettle.MaxName || !printable {
		return fettle.BadField("bad key name", "name", name, fmt.Sprintf("1 to %d bytes of text that say what the key is for", fettle.MaxName))
	}
	return nil
}

func checkScopes(scopes []Scope) ([]Scope, error) {
	if len(scopes) == 0 {
		return DefaultScopes(), nil
	}
	known := []Scope{Read, Write, Operate, Admin}
	for _, s := range scopes {
		if !slices.Contains(known, s) {
			return nil, fettle.BadField("unknown scope", "scopes", string(s), "read, write, operate or admin")
		}
	}
	// In the order of the list above, each once.
	return slices.DeleteFunc(known, func(s Scope) bool { return !slices.Contains(scopes, s) }), nil
}

// randomHex makes n random bytes, as text.
func randomHex(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails: crypto/rand ends the program instead
	return hex.EncodeToString(b)
}

func hashText(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}
