package model

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"fettle"
	"fettle/internal/rename"
)

// Promote makes a version the champion of its machine and forecaster, at once
// and for good: the decision is on the disk before it returns. A refused one
// may be promoted as well; whoever asks knows why. Promoting the champion
// changes nothing but the reason.
func (f *Folder) Promote(name string, d Decision) (fettle.Model, error) {
	return f.decide("promote", name, d, func(b *book, v Version, now time.Time) error {
		b.crown(decided(Promoted, v, d, now))
		return nil
	})
}

// Refuse says why a challenger shall not serve. The champion cannot be refused:
// Rollback says that another one shall serve.
func (f *Folder) Refuse(name string, d Decision) (fettle.Model, error) {
	return f.decide("refuse", name, d, func(b *book, v Version, now time.Time) error {
		if v.Champion {
			return fettle.Errorf(fettle.Conflict, "it serves %s; roll back, or promote another version, so that it does not", v.Machine)
		}
		b.set(v.Name, standing{State: fettle.ModelRefused, Since: now, Reason: d.Reason, By: d.By})
		b.note(decided(Refused, v, d, now))
		return nil
	})
}

// Wait has a challenger wait in the shadow of the champion: it is forecast
// beside it until somebody promotes or refuses it. One that waited there before
// is refused, so that a forecaster has at most one.
func (f *Folder) Wait(name string, d Decision) (fettle.Model, error) {
	return f.decide("wait with", name, d, func(b *book, v Version, now time.Time) error {
		if v.Champion {
			return fettle.Errorf(fettle.Conflict, "it serves %s already", v.Machine)
		}
		if before, found := f.Waiting(v.Machine, v.Forecaster); found && before.Name != name {
			instead := Decision{Reason: fmt.Sprintf("not judged: %s waits in the shadow instead", name), By: d.By}
			b.set(before.Name, standing{State: fettle.ModelRefused, Since: now, Reason: instead.Reason, By: d.By})
			b.note(decided(Refused, before, instead, now))
		}
		b.set(name, standing{State: fettle.ModelChallenger, Since: now, Reason: d.Reason, By: d.By})
		b.note(decided(Waits, v, d, now))
		return nil
	})
}

// Judge ends the waiting of a challenger in the shadow: it serves, or is refused.
// It is a Conflict if somebody else decided meanwhile.
func (f *Folder) Judge(name string, promote bool, d Decision) (fettle.Model, error) {
	return f.decide("judge", name, d, func(b *book, v Version, now time.Time) error {
		switch waiting, found := f.Waiting(v.Machine, v.Forecaster); {
		case !found || waiting.Name != name:
			return fettle.Errorf(fettle.Conflict, "it does not wait in the shadow any more")
		case promote:
			b.crown(decided(Promoted, v, d, now))
		default:
			b.set(name, standing{State: fettle.ModelRefused, Since: now, Reason: d.Reason, By: d.By})
			b.note(decided(Refused, v, d, now))
		}
		return nil
	})
}

// Rollback lets the version serve again that served before, and refuses the
// champion. Where that was a ridge, the newest ridge serves: the same model,
// fitted to more readings.
func (f *Folder) Rollback(machine, forecaster string, d Decision) (fettle.Model, error) {
	champion, found := f.Champion(machine, forecaster)
	if !found {
		return fettle.Model{}, fettle.Errorf(fettle.NotFound, "roll back: no version serves %s as %s", machine, forecaster)
	}
	before, found := f.previous(champion)
	if !found {
		return fettle.Model{}, fettle.Errorf(fettle.Conflict, "roll back %s: no other version of %s has served as %s; promote one", champion.Name, machine, forecaster)
	}
	return f.decide("roll back to", before.Name, d, func(b *book, v Version, now time.Time) error {
		if serving, _ := f.Champion(machine, forecaster); serving.Name != champion.Name {
			return fettle.Errorf(fettle.Conflict, "%s has come to serve %s meanwhile", serving.Name, machine)
		}
		b.crown(decided(RolledBack, v, d, now))
		b.set(champion.Name, standing{State: fettle.ModelRefused, Since: now, Reason: "rolled back: " + d.Reason, By: d.By})
		return nil
	})
}

// previous is the version that served before the champion.
func (f *Folder) previous(champion Version) (Version, bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	s := f.shelves[champion.Machine]
	if s == nil {
		return Version{}, false
	}
	candidates := slices.DeleteFunc(slices.Clone(s.versions), func(v Version) bool {
		return v.Forecaster != champion.Forecaster || v.Name == champion.Name || v.State != fettle.ModelRetired
	})
	if len(candidates) == 0 {
		return Version{}, false
	}
	turn := func(v Version) uint64 { return s.book.Versions[v.Name].Turn }
	last := slices.MaxFunc(candidates, func(a, b Version) int { return cmp.Compare(turn(a), turn(b)) })
	if turn(last) == 0 {
		return newest(candidates) // none of them has served: the best in reserve
	}
	if last.Family == Ridge {
		return newest(slices.DeleteFunc(candidates, func(v Version) bool { return v.Family != Ridge }))
	}
	return last, true
}

// Delete removes a version that does not serve, or a folder that cannot be
// used, together with the scaler that an old deployment has beside it.
func (f *Folder) Delete(name string) error {
	f.changing.Lock()
	defer f.changing.Unlock()
	if _, known := f.entries[name]; !known {
		return fettle.Errorf(fettle.NotFound, "delete model: there is no %s", name)
	}
	if v, _ := f.Get(name); v.Champion {
		return fettle.Errorf(fettle.Conflict, "delete model %s: it serves %s; promote another version first, or roll back", name, v.Machine)
	}
	if err := f.remove(name); err != nil {
		return fmt.Errorf("delete model %s: %w", name, err)
	}
	return nil
}

func decided(action Action, v Version, d Decision, now time.Time) Decided {
	return Decided{Time: now, Action: action, Forecaster: v.Forecaster, Model: v.Name, Reason: d.Reason, By: d.By}
}

// changeBook changes a book that decides about a version.
type changeBook func(b *book, v Version, now time.Time) error

// decide changes the book of a version's machine, on the disk and then here.
func (f *Folder) decide(verb, name string, d Decision, change changeBook) (fettle.Model, error) {
	m, err := f.decideLocked(name, d, change)
	if err != nil {
		return m, fmt.Errorf("%s model %s: %w", verb, name, err)
	}
	return m, nil
}

func (f *Folder) decideLocked(name string, d Decision, change changeBook) (fettle.Model, error) {
	if err := d.check(); err != nil {
		return fettle.Model{}, err
	}
	f.changing.Lock()
	defer f.changing.Unlock()
	v, found := f.Get(name)
	if !found {
		if e, known := f.entries[name]; known {
			return fettle.Model{}, fettle.Errorf(fettle.Conflict, "it cannot be used: %w", e.err)
		}
		return fettle.Model{}, fettle.Errorf(fettle.NotFound, "there is no such version")
	}
	before := f.shelves[v.Machine]
	b, err := f.readBook(v.Machine)
	if err != nil {
		err = f.setAside(v.Machine)
	}
	if err != nil {
		return fettle.Model{}, err
	}
	if b == nil {
		b = before.book.clone()
	}
	if err := change(b, v, f.now().UTC()); err != nil {
		return fettle.Model{}, err
	}
	b.forget(f.present)
	err = f.writeBook(b)
	// After an error, too: what is on the disk is what counts.
	f.apply(changes{machines: []string{v.Machine}})
	v, _ = f.Get(name)
	return v.Model, err
}

// setAside keeps a book that cannot be read for people to look at.
func (f *Folder) setAside(machine string) error {
	path := filepath.Join(f.dir, bookName(machine))
	if err := rename.To(path, path+damagedSuffix); err != nil {
		return fmt.Errorf("set the damaged decisions aside: %w", err)
	}
	f.log.Warn("decisions cannot be read and are set aside", "machine", machine, "file", bookName(machine)+damagedSuffix)
	return nil
}
