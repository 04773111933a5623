package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"fettle/internal/api"
)

type keyCmd struct {
	Create keyCreateCmd `cmd:"" help:"Create an API key and print it, once."`
	List   keyListCmd   `cmd:"" help:"List API keys."`
	Revoke keyRevokeCmd `cmd:"" help:"Revoke an API key, at once."`
}

func (keyCmd) Help() string {
	return examples(
		"fettle key create dashboard                           read, write and operate",
		"fettle key create 'line 3 gateway' --scopes write     send readings only",
		"fettle key list",
		"fettle key revoke 0123456789ab",
		`curl -H "X-API-Key: $KEY" https://fettle.example/workspaces`,
	)
}

type keyCreateCmd struct {
	Name   string   `arg:"" help:"What or whom it is for."`
	Scopes []string `placeholder:"SCOPE" help:"What it may do: read, write (send readings), operate (acknowledge alarms), admin (all, and keys). Default: read,write,operate."`
	JSON   bool     `help:"Print JSON."`
}

func (c *keyCreateCmd) Run(ctx context.Context, g *globals, out io.Writer) error {
	var scopes []api.Scope
	for _, s := range c.Scopes {
		scopes = append(scopes, api.Scope(s))
	}
	return withKeys(ctx, g, true, func(keys keyRing) error {
		text, key, err := keys.Create(ctx, c.Name, scopes)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(out, struct {
				api.Key
				Text string `json:"key"`
			}{key, text})
		}
		note("Key %s for %s may %s. It is shown only now:", key.ID, key.Name, joinScopes(key.Scopes))
		_, err = fmt.Fprintln(out, text)
		return err
	})
}

type keyListCmd struct {
	JSON bool `help:"Print JSON."`
}

func (c *keyListCmd) Run(ctx context.Context, g *globals, out io.Writer) error {
	return withKeys(ctx, g, false, func(keys keyRing) error {
		list, err := keys.List(ctx)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(out, append([]api.Key{}, list...))
		}
		if len(list) == 0 {
			_, err := fmt.Fprintln(out, "There are no keys; `fettle key create NAME` makes one.")
			return err
		}
		t := newTable(out)
		t.row("ID", "NAME", "SCOPES", "CREATED (UTC)", "LAST USED (UTC)")
		for _, k := range list {
			used := "never"
			if k.LastUsed != nil {
				used = k.LastUsed.UTC().Format("2006-01-02 15:04")
			}
			t.row(k.ID, k.Name, joinScopes(k.Scopes), k.Created.UTC().Format("2006-01-02 15:04"), used)
		}
		return t.Flush()
	})
}

type keyRevokeCmd struct {
	ID string `arg:"" help:"The key's id, as fettle key list shows it: the middle part of the key."`
}

func (c *keyRevokeCmd) Run(ctx context.Context, g *globals) error {
	return withKeys(ctx, g, false, func(keys keyRing) error {
		if err := keys.Revoke(ctx, c.ID); err != nil {
			return err
		}
		note("Key %s is revoked.", c.ID)
		return nil
	})
}

// withKeys does something with the keys of the data folder. make says that the
// folder may be new: a key is what a server needs before it listens to others.
func withKeys(ctx context.Context, g *globals, make bool, do func(keyRing) error) error {
	cfg, err := g.config()
	if err != nil {
		return err
	}
	data, err := openBackend(ctx, cfg.Data, make)
	if err != nil {
		return err
	}
	defer data.Close()
	keys, err := data.Keys()
	if err != nil {
		return err
	}
	return do(keys)
}

func joinScopes(scopes []api.Scope) string {
	texts := make([]string, len(scopes))
	for i, s := range scopes {
		texts[i] = string(s)
	}
	return strings.Join(texts, ",")
}
