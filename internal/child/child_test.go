package child

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

const how = "CHILD_TEST"

// The test binary is started again as the child.
func TestMain(m *testing.M) {
	asked := make(chan os.Signal, 1)
	switch os.Getenv(how) {
	case "ends":
		os.Exit(3)
	case "obeys":
		signal.Notify(asked, os.Interrupt, syscall.SIGTERM)
		here()
		<-asked
		os.Exit(0)
	case "ignores":
		signal.Ignore(os.Interrupt, syscall.SIGTERM)
		here()
		select {}
	}
	os.Exit(m.Run())
}

// here says that signals are listened to.
func here() { _ = os.WriteFile(os.Getenv(how+"_FILE"), nil, 0o600) }

func TestRun(t *testing.T) {
	for _, c := range []struct {
		what  string
		grace time.Duration
	}{
		{"obeys", time.Hour}, // so it cannot be the patience that ended it
		{"ignores", 10 * time.Millisecond},
	} {
		t.Run(c.what, func(t *testing.T) {
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(t.TempDir(), "here")
			cmd := exec.Command(self)
			cmd.Env = append(os.Environ(), how+"="+c.what, how+"_FILE="+file)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			ended := make(chan error, 1)
			go func() { ended <- Run(ctx, cmd, c.grace, nil) }()
			for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
				if _, err := os.Stat(file); err == nil {
					break
				}
				if time.Now().After(end) {
					t.Fatal("it never came")
				}
			}
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}

// How a command ends by itself is told.
func TestRunTellsTheEnd(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), how+"=ends")
	pid := 0
	err = Run(t.Context(), cmd, time.Second, func(p int) { pid = p })
	if exit := new(exec.ExitError); !errors.As(err, &exit) || exit.ExitCode() != 3 || pid == 0 {
		t.Errorf("%v, pid %d", err, pid)
	}
	if err := Run(t.Context(), exec.Command(filepath.Join(t.TempDir(), "none")), time.Second, nil); err == nil {
		t.Error("a program that is not there was run")
	}
}
