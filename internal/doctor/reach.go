package doctor

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"

	"fettle"
	"fettle/internal/bridge"
)

// server says whether one runs and answers.
func server(_ context.Context, f *facts) []Finding {
	dir := f.Config.Data.Dir
	switch {
	case f.silent != nil:
		return one("server", Error, fmt.Sprintf("the server (pid %d) does not answer: %v", f.PID, f.silent),
			fmt.Sprintf("`fettle logs` may say why; if it hangs, end process %d and then %s: what was acknowledged is on disk", f.PID, f.start()))
	case f.folder != nil && fettle.KindOf(f.folder) == fettle.Conflict:
		return one("server", Error, f.folder.Error(), "end the process that holds the folder, or name another folder with --data")
	case f.folder != nil:
		return one("server", Error, fmt.Sprintf("the data folder cannot be opened: %v", f.folder), "`fettle check` tells more; `fettle restore` makes a folder of a backup")
	case f.fresh:
		return one("server", Warning, "no server runs, and there is no data in "+dir+" yet", f.start()+" starts one; --data names another folder")
	case f.status == nil:
		return one("server", Warning, "no server runs on "+dir, f.start()+" starts one")
	}
	return one("server", OK, fmt.Sprintf("fettle %s runs, pid %d, data in %s", f.status.Version, f.status.PID, f.status.DataDir), "")
}

// listeners calls the doors of HTTP as a tunnel would. What answers 502 to the
// world outside is a tunnel or a proxy that finds nothing here.
func listeners(ctx context.Context, f *facts) []Finding {
	if f.status == nil {
		return one("http", Error, "nothing of fettle answers on "+f.Config.HTTP.Listen+": a tunnel or proxy in front of it says 502 Bad Gateway",
			f.start()+" starts it; the line ports tells who else holds the port")
	}
	var found []Finding
	for _, door := range []struct{ name, address string }{{"http", f.status.Addresses.HTTP}, {"http with a key", f.status.Addresses.KeyedHTTP}} {
		if door.address == "" {
			found = append(found, Finding{door.name, Off, "off", "set http.keyed_listen for a tunnel or a proxy to point at"})
			continue
		}
		code, err := call(ctx, door.address, "/healthz", nil)
		switch {
		case err != nil:
			found = append(found, Finding{door.name, Error, fmt.Sprintf("%s does not answer (%v): a tunnel or proxy in front of it says 502 Bad Gateway", door.address, err), "stop it, then " + f.start()})
		case code != http.StatusOK:
			found = append(found, Finding{door.name, Error, fmt.Sprintf("%s answers /healthz with %d", door.address, code), "another program may answer there; see the line ports"})
		default:
			found = append(found, Finding{door.name, OK, door.address + " answers", ""})
		}
	}
	return found
}

// call gets a path of a listener as a stranger, and returns the status code.
func call(ctx context.Context, address, path string, header http.Header) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+dialable(address)+path, nil)
	if err != nil {
		return 0, err
	}
	if header != nil {
		request.Header = header
		request.Host = header.Get("Host")
	}
	// No proxy, no redirects: the listener itself is asked.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10)) // only the code counts
	return response.StatusCode, nil
}

// dialable turns the address of a listener into one to call: 0.0.0.0 and ::
// mean this computer too.
func dialable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// exposure tries to get in without a key, as somebody behind a tunnel: through
// the listener that asks everybody, and through the other one by a foreign name.
func exposure(ctx context.Context, f *facts) []Finding {
	if f.status == nil {
		return one("unkeyed", Off, "not tried: no server answers", "")
	}
	const path = "/api/v1/machines"
	tunnelled := http.Header{"Host": {"fettle.example"}, "Cf-Connecting-Ip": {"203.0.113.7"}, "X-Forwarded-For": {"203.0.113.7"}, "X-Forwarded-Proto": {"https"}}
	for _, try := range []struct {
		address, how string
		header       http.Header
	}{
		{f.status.Addresses.KeyedHTTP, "at http.keyed_listen", nil},
		{f.status.Addresses.KeyedHTTP, "through a tunnel to http.keyed_listen", tunnelled},
		{f.status.Addresses.HTTP, "through a tunnel to http.listen", tunnelled},
	} {
		if try.address == "" {
			continue
		}
		code, err := call(ctx, try.address, path, try.header)
		switch {
		case err != nil:
			return one("unkeyed", Warning, fmt.Sprintf("cannot tell: %s %v", try.how, err), "see the lines about http")
		case code < 400:
			return one("unkeyed", Error, fmt.Sprintf("whoever comes %s (%s) gets in without a key: %s answers %d", try.how, try.address, path, code),
				"stop the tunnel; another program may answer on that port (see the line ports)")
		}
	}
	return one("unkeyed", OK, "nobody gets in from outside without a key", "")
}

// keys says whether somebody else than this computer's own user could come in.
func keys(_ context.Context, f *facts) []Finding {
	switch {
	case f.keysErr != nil:
		return one("keys", Warning, fmt.Sprintf("cannot tell: %v", f.keysErr), "")
	case f.silent != nil || f.folder != nil:
		return one("keys", Off, "not known: see the line server", "")
	case f.keys == 0 && !loopback(f.Config.HTTP.Listen):
		return one("keys", Error, "there is no API key, and http.listen is "+f.Config.HTTP.Listen+", which others can reach: `fettle serve` refuses that", "`fettle key create NAME`")
	case f.keys == 0:
		return one("keys", OK, "there is no API key: only this computer may use fettle", "`fettle key create NAME` before others shall, or a tunnel leads here")
	}
	return one("keys", OK, fmt.Sprintf("%d API keys", f.keys), "")
}

// loopback tells whether only this computer can reach an address.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	ip, ipErr := netip.ParseAddr(host)
	return err == nil && (host == "localhost" || ipErr == nil && ip.IsLoopback())
}

// brokerAnswers connects as a sensor would.
func brokerAnswers(ctx context.Context, f *facts) []Finding {
	if f.status == nil {
		return one("broker", Off, "not tried: no server answers", "")
	}
	address := dialable(f.status.Addresses.MQTT)
	options := bridge.Options{URL: "mqtt://" + address, ClientID: fmt.Sprintf("fettle-doctor-%d", os.Getpid())}
	if users := f.Config.MQTT.Users; len(users) > 0 {
		options.User, options.Password = users[0].Name, users[0].Password.Reveal()
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	client, err := bridge.Dial(ctx, options)
	if err == nil {
		client.Close()
		return one("broker", OK, "an MQTT client connects to "+address, "")
	}
	if fettle.KindOf(err) == fettle.Forbidden {
		return one("broker", OK, address+" answers, and lets its users in only", "")
	}
	return one("broker", Error, fmt.Sprintf("no MQTT client gets through: %v", err), "see the line ports; `fettle logs broker` may say why")
}
