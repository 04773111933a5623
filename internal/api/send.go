package api

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"fettle"
	"fettle/internal/codec"
	"fettle/internal/ingest"
)

func (a *API) addSending() {
	post := huma.Operation{
		Method: http.MethodPost, Path: "/api/v1/readings", OperationID: "send-readings", Tags: []string{tagMachines},
		Summary: "Send readings; answered when they are on disk",
		Description: "One message or an array of them, in the shape of the MQTT messages: " +
			"`{\"machine\":\"lathe-1\",\"timestamp\":\"2025-11-25T04:20:00Z\",\"current\":17.2}`. " +
			"Good readings are stored even if others of the same request are refused (422).",
		DefaultStatus: http.StatusNoContent, MaxBodyBytes: codec.MaxMessage, BodyReadTimeout: bodyTime,
		RequestBody: &huma.RequestBody{}, SkipValidateBody: true, // the codec's work
	}
	add(a, Write, post, a.postReadings)
	// huma takes a body that it does not read for a file: say better.
	message := &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true}
	post.RequestBody.Content["application/json"].Schema = &huma.Schema{
		AnyOf: []*huma.Schema{message, {Type: huma.TypeArray, Items: message, MaxItems: new(codec.MaxRows)}},
	}
}

type readingsMessage struct {
	RawBody []byte `contentType:"application/json"`
}

// postReadings stores the good readings of a message and names the others. When
// the gate is full nothing is stored, and nothing booked as refused: the client
// will send the same message again.
func (a *API) postReadings(ctx context.Context, in *readingsMessage) (*struct{}, error) {
	rows, unreadable := codec.Decode(codec.Names{}, in.RawBody)
	var stored ingest.Result
	var refused error
	if len(rows) > 0 {
		stored, refused = a.Ingest.Submit(ctx, rows)
		if refused != nil && fettle.KindOf(refused) != fettle.Invalid {
			return nil, refused
		}
	}
	if unreadable != nil {
		a.Ingest.Refuse("http", in.RawBody, unreadable)
	}
	faults := placed(in.RawBody, len(rows), unreadable, refused)
	if len(faults) == 0 {
		return nil, nil
	}
	return nil, &Problem{
		Title:    http.StatusText(http.StatusUnprocessableEntity),
		Status:   http.StatusUnprocessableEntity,
		Detail:   fmt.Sprintf("%s refused, %d stored", counted(len(faults), "reading"), stored.Stored),
		Code:     fettle.ReasonOf(cmp.Or(unreadable, refused)),
		Errors:   faults[:min(len(faults), maxFaults)],
		Accepted: &stored.Stored,
	}
}

// placed lists what is wrong with the readings of a body, each with its place
// in the body: what the gate refused is numbered among the rows that could be
// read, and is renumbered here.
func placed(body []byte, rows int, unreadable, refused error) []Fault {
	faults, bad := []Fault{}, map[int]bool{}
	if unreadable != nil {
		faults = faultsOf(unreadable)
		for _, f := range faults {
			if n, _, numbered := cutNumber(f.Location); numbered {
				bad[n] = true
			}
		}
	}
	if refused != nil {
		isBatch := bytes.HasPrefix(bytes.TrimLeft(body, "\ufeff \t\r\n"), []byte("["))
		var original []int // numbers in the body of the rows that could be read
		for n := 0; len(original) < rows; n++ {
			if !bad[n] {
				original = append(original, n)
			}
		}
		for _, f := range faultsOf(refused) {
			n, field, _ := cutNumber(f.Location)
			if isBatch && n < len(original) {
				f.Location = fmt.Sprintf("[%d].%s", original[n], field)
			}
			faults = append(faults, f)
		}
	}
	slices.SortStableFunc(faults, func(a, b Fault) int {
		m, _, _ := cutNumber(a.Location)
		n, _, _ := cutNumber(b.Location)
		return cmp.Compare(m, n)
	})
	for i := range faults {
		faults[i].Location = inBody(faults[i].Location)
	}
	return faults
}

// cutNumber takes "[3].current" apart; a field without a number is number 0.
func cutNumber(location string) (n int, field string, numbered bool) {
	inner, found := strings.CutPrefix(location, "[")
	number, rest, closed := strings.Cut(inner, "]")
	if n, err := strconv.Atoi(number); found && closed && err == nil {
		return n, strings.TrimPrefix(rest, "."), true
	}
	return 0, location, false
}

func inBody(location string) string {
	switch {
	case location == "message" || location == "":
		return "body"
	case location[0] == '[':
		return "body" + location
	case strings.HasPrefix(location, "byte "):
		return "body, " + location
	default:
		return "body." + location
	}
}

func counted(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return strconv.Itoa(n) + " " + thing + "s"
}
