package service

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"fettle/internal/config"
)

func TestUnit(t *testing.T) {
	usual := Spec{Program: "/usr/local/bin/fettle", Config: "/etc/fettle/fettle.yaml", Data: "/var/lib/fettle", Memory: 1 << 30}
	elsewhere := Spec{Program: "/opt/my tools/fettle", Config: "/etc/50%.yaml", Data: "/mnt/ssd/fettle data", Writes: []string{"/mnt/backup", "/srv/$x"}}
	for _, c := range []struct {
		spec Spec
		has  []string
		not  []string
	}{
		{usual, []string{
			"\nExecStart=/usr/local/bin/fettle serve --config /etc/fettle/fettle.yaml --data /var/lib/fettle\n",
			"\nStateDirectory=fettle\n", "\nMemoryMax=1024M\n", "\nUser=fettle\n", "\nType=notify\n",
		}, []string{"ReadWritePaths"}},
		{elsewhere, []string{
			"\nExecStart=\"/opt/my tools/fettle\" serve --config \"/etc/50%%.yaml\" --data \"/mnt/ssd/fettle data\"\n",
			"\nReadWritePaths=\"/mnt/ssd/fettle data\"\n", "\nReadWritePaths=-/mnt/backup\n", "\nWorkingDirectory=/mnt/ssd/fettle data\n",
		}, []string{"StateDirectory", "MemoryMax"}},
	} {
		text := unit(c.spec)
		for _, want := range c.has {
			if !strings.Contains(text, want) {
				t.Errorf("no %q in\n%s", want, text)
			}
		}
		for _, none := range c.not {
			if strings.Contains(text, none) {
				t.Errorf("%q in\n%s", none, text)
			}
		}
	}
}

// What was installed can be read back, so that an update keeps it.
func TestSpecOfUnit(t *testing.T) {
	path := rapid.StringMatching(`/[a-z $%"\\;#'äß=-]{0,12}`)
	rapid.Check(t, func(t *rapid.T) {
		s := Spec{Program: path.Draw(t, "program"), Config: path.Draw(t, "config"), Data: path.Draw(t, "data"), Writes: rapid.SliceOfN(path, 0, 3).Draw(t, "writes")}
		got := specOfUnit(unit(s))
		if len(got.Writes) == 0 {
			got.Writes, s.Writes = nil, nil
		}
		if diff := cmp.Diff(s, got); diff != "" {
			t.Error(diff)
		}
	})
}

func FuzzSpecOfUnit(f *testing.F) {
	f.Add(unit(Spec{Program: "/a b", Config: "/c", Data: "/d%"}))
	f.Add("ExecStart=\"\nReadWritePaths=-\\")
	f.Fuzz(func(_ *testing.T, text string) { specOfUnit(text) })
}

func TestPathsOfASpec(t *testing.T) {
	good := Spec{Program: abs("fettle"), Config: abs("fettle.yaml"), Data: abs("data")}
	if err := good.check(); err != nil {
		t.Error(err)
	}
	for _, c := range []struct {
		change func(*Spec)
		says   string
	}{
		{func(s *Spec) { s.Data = "fettle-data" }, "--data"},
		{func(s *Spec) { s.Config = "fettle.yaml" }, "--config"},
		{func(s *Spec) { s.Writes = []string{"backup"} }, "--writes"},
		{func(s *Spec) { s.Data += "\nExecStart=/bin/sh" }, "control characters"},
	} {
		bad := good
		c.change(&bad)
		if err := bad.check(); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v, want %q in it", err, c.says)
		}
	}
}

func abs(name string) string { return os.TempDir() + string(os.PathSeparator) + name }

func TestMemoryFor(t *testing.T) {
	c := config.Defaults()
	if got, want := MemoryFor(c), int64(2*256+512)<<20; got != want {
		t.Errorf("%d, want %d", got, want)
	}
	c.Training.Parallel, c.Tunnel.Mode = 2, "quick"
	if got, want := MemoryFor(c), int64(2*256+2*512+256)<<20; got != want {
		t.Errorf("%d, want %d", got, want)
	}
	c.Limits.Memory = 0
	if got := MemoryFor(c); got != 0 {
		t.Errorf("%d without a limit", got)
	}
}
