//go:build peers

package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// TestInfluxWords sends the same requests to fettle and to a real InfluxDB, and
// holds fettle's answers to those: status, code and message. What fettle says
// more, or otherwise, is said here.
func TestInfluxWords(t *testing.T) {
	next := newInfluxd(t, "bucket")
	server := serve(t, buildFettle(t), filepath.Join(t.TempDir(), "data"))
	defer func() { server.Stop() }()
	const good = "sensor_data,workspace_id=m x=1"
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, _ = io.WriteString(w, good)
	_ = w.Close()
	for _, c := range []struct{ note, query, encoding, body string }{
		{"good", "", "", good},
		{"good, in seconds", "&precision=s", "", good + " 1764044400"},
		{"good, packed", "", "gzip", packed.String()},
		{"types", "", "", `sensor_data,workspace_id=m f=1.5,g=-1e-3,i=-3i,u=3u,t=t,T=True,s="a \"b\" \\ c"`},
		{"escapes", "", "", `sensor_data,workspace_id=a\ b,t\=a\,g=x\ y fie\ ld\,\==1`},
		{"a newline in a text", "", "", "sensor_data,workspace_id=m s=\"a\nb\",x=1\n" + good},
		{"comments and empty lines", "", "", "# hello\n\n" + good + "\n\n"},
		{"nothing but a comment", "", "", "# hello\n"},
		{"no fields", "", "", "cpu"},
		{"no fields, with tags", "", "", "cpu,workspace_id=m"},
		{"no measurement", "", "", ",workspace_id=m x=1"},
		{"no tag key", "", "", "cpu,=m x=1"},
		{"no tag value", "", "", "cpu,workspace_id= x=1"},
		{"no tag value at all", "", "", "cpu,workspace_id x=1"},
		{"a tag twice", "", "", "cpu,workspace_id=a,workspace_id=b x=1"},
		{"two equals signs", "", "", "cpu,workspace_id=a=b x=1"},
		{"no field value", "", "", "cpu,workspace_id=m x="},
		{"no field value, and another", "", "", "cpu,workspace_id=m x=,y=1"},
		{"no field key", "", "", "cpu,workspace_id=m =1"},
		{"no second field key", "", "", "cpu,workspace_id=m x=1,=2"},
		{"no equals sign", "", "", "cpu,workspace_id=m x"},
		{"a number that is none", "", "", "cpu,workspace_id=m x=1.2.3"},
		{"an integer with a point", "", "", "cpu,workspace_id=m x=1.5i"},
		{"an integer too large", "", "", "cpu,workspace_id=m x=9223372036854775808i"},
		{"an unsigned too large", "", "", "cpu,workspace_id=m x=18446744073709551616u"},
		{"a negative unsigned", "", "", "cpu,workspace_id=m x=-1u"},
		{"a float too large", "", "", "cpu,workspace_id=m x=1e999"},
		{"NaN", "", "", "cpu,workspace_id=m x=NaN"},
		{"a word", "", "", "cpu,workspace_id=m x=yes"},
		{"an open quote", "", "", `cpu,workspace_id=m x="1`},
		{"a time with letters", "", "", "cpu,workspace_id=m x=1 12ab"},
		{"two times", "", "", "cpu,workspace_id=m x=1 1 2"},
		{"a precision that is none", "&precision=fortnight", "", good},
	} {
		mine := answerOf(t, "http://"+server.HTTP, "", c.query, c.encoding, c.body)
		theirs := answerOf(t, next.URL, next.Token, c.query, c.encoding, c.body)
		if mine != theirs {
			t.Errorf("%s: fettle says\n%s\nInfluxDB says\n%s", c.note, mine, theirs)
		}
	}
	for _, token := range []string{"", "wrong"} {
		mine, theirs := answerOf(t, "http://"+server.KeyedHTTP, token, "", "", good), answerOf(t, next.URL, token, "", "", good)
		if mine != theirs {
			t.Errorf("token %q: fettle says %s, InfluxDB %s", token, mine, theirs)
		}
	}
	// All or nothing there; here the good ones are stored, and the message says so.
	both := good + "\ncpu"
	mine, theirs := answerOf(t, "http://"+server.HTTP, "", "", "", both), answerOf(t, next.URL, next.Token, "", "", both)
	if mine != strings.Replace(theirs, `"message":"`, `"message":"partial write: `, 1) {
		t.Errorf("partial write: fettle says %s, InfluxDB %s", mine, theirs)
	}
}

// answerOf is status and body of a write, without the number of the line, which
// only fettle gives.
func answerOf(t *testing.T, url, token, query, encoding, body string) string {
	t.Helper()
	request, err := http.NewRequest(http.MethodPost, url+"/api/v2/write?org=Ruhuna_Eng&bucket=bucket"+query, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		request.Header.Set("Authorization", "Token "+token)
	}
	request.Header.Set("Content-Encoding", encoding)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	said, _, _ := strings.Cut(string(text), `,"line":`)
	return fmt.Sprintf("%d %s %s", response.StatusCode, response.Header.Get("X-Platform-Error-Code"), strings.TrimSuffix(said, "}"))
}
