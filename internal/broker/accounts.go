package broker

import (
	"cmp"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	mqtt "github.com/mochi-mqtt/server/v2"

	"fettle"
	"fettle/internal/db"
)

// Limits of accounts.
const (
	maxAccounts = 10_000
	maxFilters  = 100
	leastSecret = 8 // bytes of a password that somebody chose
	mostSecret  = 1024
)

// How often a password is hashed (PBKDF2, HMAC of SHA-256). People's own are
// short, so that trying one must take time: the number is OWASP's of 2023. One
// that fettle made has 128 random bits, and guessing it is hopeless anyway.
//
// Argon2id would make the guessing of chosen ones dearer still, but takes a
// module more and at least 19 MiB a try, which is a quarter of what a gateway
// gives fettle, for each device that comes back after a power cut.
const (
	roundsChosen = 600_000
	roundsMade   = 1_000
)

// An Account is a user of the broker that is kept in the data folder.
type Account struct {
	Name      string    `json:"name"`
	Publish   []string  `json:"publish" doc:"Topics it may publish on, as MQTT filters; {user} stands for its name"`
	Subscribe []string  `json:"subscribe" doc:"Topics it may subscribe to, likewise"`
	Created   time.Time `json:"created"`
}

// A storedAccount is an account's record in the store, as JSON under "u/<name>".
type storedAccount struct {
	Account
	Salt   []byte `json:"salt"`
	Rounds int    `json:"rounds"`
	Hash   []byte `json:"hash"`
}

// An account is one in memory. It is replaced when its password changes.
type account struct {
	storedAccount // guarded by the mutex of Accounts
	grant         grant

	mu     sync.Mutex // guards proven
	proven []byte     // quick hash of the password that was right last; nil: none yet
}

// Accounts are the users in the data folder. A change is in force when the call
// that made it returns: who is removed or has a new password is disconnected.
type Accounts struct {
	db  *db.DB
	now func() time.Time
	// quick is the key of the quick hashes, new for each run: a device that comes
	// back is not hashed slowly again.
	quick [sha256.Size]byte
	slow  sync.Mutex // held while hashing slowly, so that guessing takes one core at most

	mu      sync.RWMutex // guards all below
	byName  map[string]*account
	dropped func(*grant) // disconnects who has it; nil: nobody is connected
}

const accountPrefix = "u/"

// OpenAccounts reads the accounts from the store. now is the wall clock.
func OpenAccounts(d *db.DB, now func() time.Time) (*Accounts, error) {
	a := &Accounts{db: d, now: now, byName: map[string]*account{}}
	rand.Read(a.quick[:]) // never fails
	err := d.Ascend([]byte(accountPrefix), db.After([]byte(accountPrefix)), func(key, value []byte) error {
		var s storedAccount
		if err := json.Unmarshal(value, &s); err != nil {
			return fmt.Errorf("read user %s: %w", key, err)
		}
		a.byName[s.Name] = newAccount(s)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("open users: %w", err)
	}
	return a, nil
}

func newAccount(s storedAccount) *account {
	acc := &account{storedAccount: s}
	acc.grant.user = s.Name
	r := rights{s.Publish, s.Subscribe}.of(s.Name)
	acc.grant.rights.Store(&r)
	return acc
}

// Add makes an account, of which Created is set here; nil instead of filters
// stands for all topics. Without a password it gets one, which is returned and
// cannot be had again.
func (a *Accounts) Add(acc Account, password string) (made string, err error) {
	if acc.Publish == nil {
		acc.Publish = []string{"#"}
	}
	if acc.Subscribe == nil {
		acc.Subscribe = []string{"#"}
	}
	if err := acc.check(); err != nil {
		return "", err
	}
	s := storedAccount{Account: acc}
	s.Created = a.now().UTC()
	if made, err = s.setPassword(password); err != nil {
		return "", err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.byName[s.Name] != nil {
		return "", fettle.Errorf(fettle.Conflict, "there is a user %q already", s.Name)
	}
	if len(a.byName) >= maxAccounts {
		return "", fettle.Errorf(fettle.Conflict, "add user: there are %d already, the limit; remove one first", maxAccounts)
	}
	return made, a.put(s)
}

// SetPassword changes a password, as in Add.
func (a *Accounts) SetPassword(name, password string) (made string, err error) {
	var fresh storedAccount
	if made, err = fresh.setPassword(password); err != nil { // slow, so before the lock
		return "", err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	old := a.byName[name]
	if old == nil {
		return "", noAccount(name)
	}
	s := old.storedAccount
	s.Salt, s.Rounds, s.Hash = fresh.Salt, fresh.Rounds, fresh.Hash
	if err := a.put(s); err != nil {
		return "", err
	}
	a.drop(old)
	return made, nil
}

// SetRights changes what a user may do, from the next message on.
func (a *Accounts) SetRights(name string, publish, subscribe []string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	acc := a.byName[name]
	if acc == nil {
		return noAccount(name)
	}
	s := acc.storedAccount
	s.Publish, s.Subscribe = publish, subscribe
	if err := s.check(); err != nil {
		return err
	}
	if err := a.save(s); err != nil {
		return err
	}
	acc.storedAccount = s
	r := rights{publish, subscribe}.of(name)
	acc.grant.rights.Store(&r)
	return nil
}

// Remove ends an account and disconnects who uses it.
func (a *Accounts) Remove(name string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	acc := a.byName[name]
	if acc == nil {
		return noAccount(name)
	}
	b := a.db.NewBatch()
	b.Delete([]byte(accountPrefix + name))
	if err := a.db.Commit(b, db.Synced); err != nil {
		return fmt.Errorf("remove user %s: %w", name, err)
	}
	delete(a.byName, name)
	a.drop(acc)
	return nil
}

// List returns the accounts by name.
func (a *Accounts) List() []Account {
	a.mu.RLock()
	defer a.mu.RUnlock()
	list := make([]Account, 0, len(a.byName))
	for _, acc := range a.byName {
		list = append(list, acc.Account)
	}
	slices.SortFunc(list, func(x, y Account) int { return cmp.Compare(x.Name, y.Name) })
	return list
}

func noAccount(name string) error {
	return fettle.Errorf(fettle.NotFound, "no user %q in the data folder; those in mqtt.users are changed there", fettle.Shorten(name))
}

// put saves an account and brings it in force; a.mu is held.
func (a *Accounts) put(s storedAccount) error {
	if err := a.save(s); err != nil {
		return err
	}
	a.byName[s.Name] = newAccount(s)
	return nil
}

func (a *Accounts) save(s storedAccount) error {
	record, err := json.Marshal(s)
	if err != nil {
		return err
	}
	b := a.db.NewBatch()
	b.Set([]byte(accountPrefix+s.Name), record)
	if err := a.db.Commit(b, db.Synced); err != nil {
		return fmt.Errorf("save user %s: %w", s.Name, err)
	}
	return nil
}

// drop takes all rights from an account that is no longer, and its connections.
func (a *Accounts) drop(acc *account) {
	acc.grant.rights.Store(&rights{})
	if a.dropped != nil {
		a.dropped(&acc.grant)
	}
}

// any tells whether there is an account at all. A nil Accounts has none.
func (a *Accounts) any() bool {
	if a == nil {
		return false
	}
	a.mu.RLock()
	defer a.mu.RUnlock()
	return len(a.byName) > 0
}

// find returns the grant of a user; false if there is no such account.
func (a *Accounts) find(name string) (*grant, bool) {
	if a == nil {
		return nil, false
	}
	a.mu.RLock()
	defer a.mu.RUnlock()
	acc := a.byName[name]
	if acc == nil {
		return nil, false
	}
	return &acc.grant, true
}

// allow returns the grant of a user whose password this is. It takes as long
// for an unknown name as for a wrong password.
func (a *Accounts) allow(name string, password []byte) (*grant, bool) {
	if a == nil {
		return nil, false
	}
	record := storedAccount{Salt: a.quick[:], Rounds: roundsChosen} // of nobody
	a.mu.RLock()
	acc := a.byName[name]
	if acc != nil {
		record = acc.storedAccount
	}
	a.mu.RUnlock()
	if acc == nil {
		a.slowly(record, password)
		return nil, false
	}
	quick := hmac.New(sha256.New, a.quick[:])
	quick.Write(password)
	proof := quick.Sum(nil)
	acc.mu.Lock()
	known := acc.proven != nil && hmac.Equal(acc.proven, proof)
	acc.mu.Unlock()
	if !known {
		if !hmac.Equal(a.slowly(record, password), record.Hash) {
			return nil, false
		}
		acc.mu.Lock()
		acc.proven = proof
		acc.mu.Unlock()
	}
	return &acc.grant, true
}

func (a *Accounts) slowly(s storedAccount, password []byte) []byte {
	a.slow.Lock()
	defer a.slow.Unlock()
	return s.hash(string(password))
}

func (s storedAccount) hash(password string) []byte {
	hash, err := pbkdf2.Key(sha256.New, password, s.Salt, s.Rounds, sha256.Size)
	if err != nil {
		panic("BUG: " + err.Error()) // only lengths that are constants here are refused
	}
	return hash
}

// setPassword makes a password if there is none.
func (s *storedAccount) setPassword(password string) (made string, err error) {
	s.Rounds = roundsChosen
	switch {
	case password == "":
		made = rand.Text()
		password, s.Rounds = made, roundsMade
	case len(password) < leastSecret || len(password) > mostSecret:
		return "", fettle.BadField("bad password", "password", fmt.Sprintf("%d bytes long", len(password)), fmt.Sprintf("%d to %d", leastSecret, mostSecret))
	}
	s.Salt = make([]byte, 16)
	rand.Read(s.Salt) // never fails
	s.Hash = s.hash(password)
	return made, nil
}

// check refuses what would be no user or no filter. A name becomes part of
// filters, so it must not widen them.
func (acc Account) check() error {
	name := acc.Name
	unfit := strings.ContainsAny(name, "/+#") || strings.HasPrefix(name, "$") || strings.ContainsFunc(name, unicode.IsControl) || !utf8.ValidString(name)
	if strings.TrimSpace(name) == "" || len(name) > fettle.MaxName || unfit {
		return fettle.BadField("bad user name", "name", name, fmt.Sprintf("1 to %d bytes of text without / + #, not beginning with $", fettle.MaxName))
	}
	for field, filters := range map[string][]string{"publish": acc.Publish, "subscribe": acc.Subscribe} {
		if len(filters) > maxFilters {
			return fettle.BadField("too many filters", field, fmt.Sprint(len(filters)), fmt.Sprintf("at most %d", maxFilters))
		}
		for _, filter := range filters {
			if !fitFilter(filter) {
				return fettle.BadField("bad filter", field, filter, "an MQTT filter, such as plant/{user}/#")
			}
		}
	}
	return nil
}

func fitFilter(filter string) bool {
	if len(filter) > 1<<16-1 || !utf8.ValidString(filter) || !mqtt.IsValidFilter(filter, false) || strings.HasPrefix(filter, "$share") {
		return false
	}
	for level := range strings.SplitSeq(filter, "/") {
		if len(level) > 1 && strings.ContainsAny(level, "+#") {
			return false
		}
	}
	return true
}
