package service

import (
	"context"
	"log/slog"
)

// A Program is what a service runs.
type Program struct {
	Run   func(ctx context.Context) error // until the context ends, or it ends by itself
	Ready <-chan struct{}                 // closed once every listener answers
	Says  func() string                   // in one line, where it is to be found
	// Alive returns an error if the program hangs such that only a new start
	// would help. It is asked with a context that ends.
	Alive func(ctx context.Context) error
	Log   *slog.Logger
}

// An observer hears of the life of a program.
type observer interface {
	// attend returns when ended is closed.
	attend(ctx context.Context, p Program, ended <-chan struct{})
}

// run runs a program before an observer.
func run(ctx context.Context, p Program, o observer) error {
	ended, attended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(attended)
		o.attend(ctx, p, ended)
	}()
	err := p.Run(ctx)
	close(ended)
	<-attended
	return err
}
