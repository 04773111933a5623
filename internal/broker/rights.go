package broker

import (
	"strings"
	"sync/atomic"
)

// rights are the topics on which a user may publish and to which it may
// subscribe, as MQTT filters.
type rights struct {
	publish, subscribe []string
}

// userHere stands in a filter for the name of the user.
const userHere = "{user}"

// of puts the user's name into the filters.
func (r rights) of(user string) rights {
	fill := func(filters []string) []string {
		filled := make([]string, len(filters))
		for i, filter := range filters {
			filled[i] = strings.NewReplacer(userHere, user, "%u", user).Replace(filter)
		}
		return filled
	}
	return rights{fill(r.publish), fill(r.subscribe)}
}

// A grant is what a connection may do; it changes while the connection lives.
// Nil allows everything.
type grant struct {
	user   string
	rights atomic.Pointer[rights]
}

func (g *grant) mayPublish(topic string) bool {
	return g == nil || anyCovers(g.rights.Load().publish, topic)
}

// maySubscribe is asked for filters, and for the topics of single messages.
func (g *grant) maySubscribe(filter string) bool {
	if g == nil {
		return true
	}
	if shared, found := strings.CutPrefix(filter, "$share/"); found {
		_, filter, _ = strings.Cut(shared, "/")
	}
	return anyCovers(g.rights.Load().subscribe, filter)
}

func anyCovers(wide []string, narrow string) bool {
	for _, w := range wide {
		if covers(w, narrow) {
			return true
		}
	}
	return false
}

// covers tells whether every topic that the filter narrow matches, or the topic
// that it is, is also matched by wide. Unlike for a subscription, # and + stand
// for topics that begin with $ too: whether those may be had is asked elsewhere.
func covers(wide, narrow string) bool {
	for {
		w, moreWide, deeperWide := strings.Cut(wide, "/")
		n, moreNarrow, deeperNarrow := strings.Cut(narrow, "/")
		switch {
		case w == "#":
			return true
		case n == "#" || w != "+" && w != n:
			return false
		case !deeperWide && !deeperNarrow:
			return true
		case !deeperNarrow:
			return moreWide == "#" // a/# is also a
		case !deeperWide:
			return false
		}
		wide, narrow = moreWide, moreNarrow
	}
}
