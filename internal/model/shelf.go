package model

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"fettle"
)

// A shelf is one machine's usable versions, and what each of them is. It does
// not change: another one takes its place.
type shelf struct {
	versions  []Version      // oldest first, with their states
	champions map[string]int // forecaster -> index in versions
	waiting   map[string]int // forecaster -> index of the challenger in its champion's shadow
	book      *book
	saved     bool   // book is as on the disk
	trouble   string // why the book on the disk does not count, "" if it does
}

// champion is the version that serves a forecaster.
func (s *shelf) champion(forecaster string) (Version, bool) {
	if s == nil {
		return Version{}, false
	}
	i, found := s.champions[forecaster]
	if !found {
		return Version{}, false
	}
	return s.versions[i], true
}

func (s *shelf) get(name string) (Version, bool) {
	if s == nil {
		return Version{}, false
	}
	i := slices.IndexFunc(s.versions, func(v Version) bool { return v.Name == name })
	if i < 0 {
		return Version{}, false
	}
	return s.versions[i], true
}

func sortVersions(versions []Version) {
	slices.SortFunc(versions, func(a, b Version) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.Name, b.Name))
	})
}

// newShelf says what each version is by the book. They are sorted oldest first.
func newShelf(versions []Version, b *book) *shelf {
	s := &shelf{versions: versions, champions: map[string]int{}, waiting: map[string]int{}, book: b}
	for i := range s.versions {
		v := &s.versions[i]
		v.Champion = false
		v.State, v.Since, v.Reason, v.By = b.stateOf(*v)
		if v.Name == b.Champions[v.Forecaster] {
			s.champions[v.Forecaster] = i
		} else if b.Versions[v.Name].State == fettle.ModelChallenger {
			s.waiting[v.Forecaster] = i
		}
	}
	for _, forecaster := range forecastersOf(versions) {
		if _, found := s.champions[forecaster]; !found {
			s.standIn(forecaster)
		}
	}
	for forecaster, i := range s.champions {
		if at, found := s.waiting[forecaster]; found && at == i { // it stands in
			delete(s.waiting, forecaster)
		}
		s.versions[i].Champion, s.versions[i].State = true, fettle.ModelChampion
	}
	return s
}

// stateOf is what the book makes of a version, champions left aside.
func (b *book) stateOf(v Version) (state fettle.ModelState, since time.Time, reason, by string) {
	known, found := b.Versions[v.Name]
	if !found {
		return fettle.ModelChallenger, v.Created, "not judged yet", ""
	}
	state = known.State
	if state == "" {
		state = fettle.ModelRetired
	}
	return state, known.Since, known.Reason, known.By
}

// standIn lets a version serve while the champion cannot be used: the newest
// PatchTST that was not refused and is no challenger, else the newest ridge,
// else whatever there is.
func (s *shelf) standIn(forecaster string) {
	of := func(states ...fettle.ModelState) []Version {
		return slices.DeleteFunc(slices.Clone(s.versions), func(v Version) bool {
			return v.Forecaster != forecaster || !slices.Contains(states, v.State)
		})
	}
	best, found := newest(of(fettle.ModelRetired))
	if !found {
		best, found = newest(of(fettle.ModelChallenger, fettle.ModelRefused))
	}
	if !found {
		return
	}
	i := slices.IndexFunc(s.versions, func(v Version) bool { return v.Name == best.Name })
	s.champions[forecaster] = i
	if missing := s.book.Champions[forecaster]; missing != "" {
		s.versions[i].Reason = fmt.Sprintf("stands in for %s, which cannot be used", missing)
	} else {
		s.versions[i].Reason = "stands in: the champion's folder is gone"
	}
	s.versions[i].By = ""
}

// newest is the rule for versions of which nothing else is known: the newest
// PatchTST, else the newest ridge. They are sorted oldest first.
func newest(versions []Version) (best Version, found bool) {
	for _, v := range versions {
		if !found || v.Family == PatchTST || best.Family != PatchTST {
			best, found = v, true
		}
	}
	return best, found
}

func forecastersOf(versions []Version) []string {
	var names []string
	for _, v := range versions {
		if !slices.Contains(names, v.Forecaster) {
			names = append(names, v.Forecaster)
		}
	}
	return names
}

// admit takes in the versions that the book does not know: what someone put
// into the folder serves, a refitted ridge follows a ridge, a challenger waits,
// and the first of a forecaster serves whatever it is. present tells whether a
// version's folder is there, usable or not. Versions are sorted oldest first.
func (b *book) admit(versions []Version, present func(name string) bool, now time.Time) (changed bool) {
	for _, forecaster := range forecastersOf(versions) {
		a := arrivals{forecaster: forecaster, champion: b.Champions[forecaster]}
		if !present(a.champion) {
			a.champion = ""
		}
		for _, v := range versions {
			_, known := b.Versions[v.Name]
			switch {
			case v.Forecaster != forecaster:
			case v.Name == a.champion:
				if v.Family == Ridge {
					a.ridge = v.Created
				}
			case known:
				a.others = true
			case v.enters == entersChallenger:
				a.challengers = append(a.challengers, v)
			case v.enters == entersRefit:
				a.refits = append(a.refits, v)
			default:
				a.wishes = append(a.wishes, v)
			}
		}
		changed = b.seat(a, now) || changed
	}
	return changed
}

// arrivals are one forecaster's versions that its machine's book does not know.
type arrivals struct {
	forecaster                  string
	champion                    string    // the version that serves, "" if none does
	ridge                       time.Time // when the champion was made, if it is a ridge
	others                      bool      // there are versions that the book knows, one of which can stand in
	wishes, refits, challengers []Version
}

// seat decides what one forecaster's arrivals are.
func (b *book) seat(a arrivals, now time.Time) (changed bool) {
	d := Decided{Time: now.UTC(), Forecaster: a.forecaster}
	first := a.champion == "" && !a.others
	next, found := newest(a.wishes)
	switch {
	case found && first && len(a.wishes)+len(a.refits) > 1:
		d.Action, d.Reason = First, "nothing was decided yet: the newest PatchTST, else the newest ridge"
	case found && first:
		d.Action, d.Reason = First, "the first that there is"
	case found:
		d.Action, d.Reason = Appeared, "it was put into the folder of models"
	}
	if found && next.Source != "" {
		d.Reason += "; " + next.Source
	}
	if !found {
		if next, found = newest(a.refits); found && first {
			d.Action, d.Reason = First, "the first that there is"
		} else if found = found && !a.ridge.IsZero() && next.Created.After(a.ridge); found {
			d.Action, d.Reason = Refitted, "fitted to more readings"
		}
	}
	if !found && first {
		if next, found = newest(a.challengers); found {
			d.Action, d.Reason = First, "the first that there is"
		}
	}
	for _, v := range slices.Concat(a.wishes, a.refits) {
		if !found || v.Name != next.Name {
			b.set(v.Name, standing{State: fettle.ModelRetired, Since: now.UTC(), Reason: "in reserve"})
			changed = true
		}
	}
	if found {
		d.Model = next.Name
		b.crown(d)
		changed = true
	}
	return changed
}
