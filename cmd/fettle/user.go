package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"fettle"
	"fettle/internal/broker"
)

type userCmd struct {
	Add    userAddCmd    `cmd:"" help:"Add a user of the MQTT broker and print its password, once."`
	List   userListCmd   `cmd:"" help:"List users and what they may do."`
	Passwd userPasswdCmd `cmd:"" help:"Change a user's password and disconnect who uses the old one."`
	Rights userRightsCmd `cmd:"" help:"Change what a user may publish and subscribe to, at once."`
	Remove userRemoveCmd `cmd:"" help:"Remove a user and disconnect it, at once."`
}

func (userCmd) Help() string {
	return examples(
		"fettle user add press-3                                          may publish and subscribe to everything",
		"fettle user add press-3 --publish 'plant/{user}/#' --no-subscribe   its own topics only",
		"fettle user passwd press-3 --password-file -                     from standard input",
		"fettle user list",
	) + "\n\nWhile there is any user, nobody connects without a name and a password. Users in the configuration (mqtt.users) have all rights and are changed there."
}

// topicFlags say what a user may do.
type topicFlags struct {
	Publish     []string `placeholder:"FILTER" help:"Topics that it may publish on, as an MQTT filter; {user} stands for its name. Default: all."`
	Subscribe   []string `placeholder:"FILTER" help:"Topics that it may subscribe to, likewise. Default: all."`
	NoPublish   bool     `help:"It may publish nothing."`
	NoSubscribe bool     `help:"It may subscribe to nothing."`
}

func (f topicFlags) filters() (publish, subscribe []string, err error) {
	of := func(name string, filters []string, none bool) []string {
		switch {
		case none && len(filters) > 0:
			err = errors.Join(err, fettle.Errorf(fettle.Invalid, "--%s and --no-%s contradict each other", name, name))
		case none:
			return []string{}
		case len(filters) == 0:
			return []string{"#"}
		}
		return filters
	}
	return of("publish", f.Publish, f.NoPublish), of("subscribe", f.Subscribe, f.NoSubscribe), err
}

// passwordFlag says where a password comes from that fettle does not make.
type passwordFlag struct {
	PasswordFile string `placeholder:"FILE" help:"File whose first line is the password; - is standard input. Without it, one is made and printed."`
}

func (f passwordFlag) read(in io.Reader) (string, error) {
	if f.PasswordFile == "" {
		return "", nil
	}
	if f.PasswordFile != "-" {
		file, err := os.Open(f.PasswordFile)
		if err != nil {
			return "", fmt.Errorf("read password: %w", err)
		}
		defer file.Close()
		in = file
	}
	const more = 4 << 10 // than any password may have
	line, err := bufio.NewReader(io.LimitReader(in, more)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read password: %w", err)
	}
	if line = strings.TrimRight(line, "\r\n"); line == "" {
		return "", fettle.Errorf(fettle.Invalid, "read password: the first line of %s is empty", f.PasswordFile)
	}
	return line, nil
}

type userAddCmd struct {
	Name string `arg:"" help:"Name of the user."`
	topicFlags
	passwordFlag
}

func (c *userAddCmd) Run(ctx context.Context, g *globals, out io.Writer) error {
	account := broker.Account{Name: c.Name}
	var err error
	if account.Publish, account.Subscribe, err = c.filters(); err != nil {
		return err
	}
	password, err := c.read(os.Stdin)
	if err != nil {
		return err
	}
	return withUsers(ctx, g, true, func(users userBook) error {
		made, err := users.Add(ctx, account, password)
		if err != nil {
			return err
		}
		return printPassword(out, "User "+c.Name+" is added.", made)
	})
}

func printPassword(out io.Writer, done, made string) error {
	if made == "" {
		note("%s", done)
		return nil
	}
	note("%s Its password is shown only now:", done)
	_, err := fmt.Fprintln(out, made)
	return err
}

type userListCmd struct {
	JSON bool `help:"Print JSON."`
}

func (c *userListCmd) Run(ctx context.Context, g *globals, out io.Writer) error {
	return withUsers(ctx, g, false, func(users userBook) error {
		list, err := users.List(ctx)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(out, append([]broker.Account{}, list...))
		}
		if len(list) == 0 {
			_, err := fmt.Fprintln(out, "There are no users in the data folder; `fettle user add NAME` makes one.")
			return err
		}
		t := newTable(out)
		t.row("NAME", "MAY PUBLISH", "MAY SUBSCRIBE TO", "CREATED (UTC)")
		for _, u := range list {
			t.row(u.Name, orNothing(u.Publish), orNothing(u.Subscribe), u.Created.UTC().Format("2006-01-02 15:04"))
		}
		return t.Flush()
	})
}

func orNothing(filters []string) string {
	if len(filters) == 0 {
		return "nothing"
	}
	return strings.Join(filters, " ")
}

type userPasswdCmd struct {
	Name string `arg:"" help:"Name of the user."`
	passwordFlag
}

func (c *userPasswdCmd) Run(ctx context.Context, g *globals, out io.Writer) error {
	password, err := c.read(os.Stdin)
	if err != nil {
		return err
	}
	return withUsers(ctx, g, false, func(users userBook) error {
		made, err := users.SetPassword(ctx, c.Name, password)
		if err != nil {
			return err
		}
		return printPassword(out, "The password of "+c.Name+" is changed.", made)
	})
}

type userRightsCmd struct {
	Name string `arg:"" help:"Name of the user."`
	topicFlags
}

func (c *userRightsCmd) Run(ctx context.Context, g *globals) error {
	publish, subscribe, err := c.filters()
	if err != nil {
		return err
	}
	return withUsers(ctx, g, false, func(users userBook) error {
		if err := users.SetRights(ctx, c.Name, publish, subscribe); err != nil {
			return err
		}
		note("User %s may publish %s and subscribe to %s.", c.Name, orNothing(publish), orNothing(subscribe))
		return nil
	})
}

type userRemoveCmd struct {
	Name string `arg:"" help:"Name of the user."`
}

func (c *userRemoveCmd) Run(ctx context.Context, g *globals) error {
	return withUsers(ctx, g, false, func(users userBook) error {
		if err := users.Remove(ctx, c.Name); err != nil {
			return err
		}
		note("User %s is removed.", c.Name)
		return nil
	})
}

// A userBook is the users of the broker in a folder.
type userBook interface {
	Add(ctx context.Context, account broker.Account, password string) (made string, err error)
	List(ctx context.Context) ([]broker.Account, error)
	SetPassword(ctx context.Context, name, password string) (made string, err error)
	SetRights(ctx context.Context, name string, publish, subscribe []string) error
	Remove(ctx context.Context, name string) error
}

// withUsers does something with the users of the data folder. make says that the
// folder may be new: a user is what a server needs before others may connect.
func withUsers(ctx context.Context, g *globals, make bool, do func(userBook) error) error {
	cfg, err := g.config()
	if err != nil {
		return err
	}
	data, err := openBackend(ctx, cfg.Data, make)
	if err != nil {
		return err
	}
	defer data.Close()
	users, err := data.Users()
	if err != nil {
		return err
	}
	return do(users)
}

type localUsers struct{ accounts *broker.Accounts }

func (u localUsers) Add(_ context.Context, account broker.Account, password string) (made string, err error) {
	return u.accounts.Add(account, password)
}

func (u localUsers) List(context.Context) ([]broker.Account, error) { return u.accounts.List(), nil }

func (u localUsers) SetPassword(_ context.Context, name, password string) (made string, err error) {
	return u.accounts.SetPassword(name, password)
}

func (u localUsers) SetRights(_ context.Context, name string, publish, subscribe []string) error {
	return u.accounts.SetRights(name, publish, subscribe)
}

func (u localUsers) Remove(_ context.Context, name string) error { return u.accounts.Remove(name) }
