// Package spark is a client of Spark Connect, as small as training on a cluster
// needs it: the address of a server comes in, a session is opened there, a
// program is uploaded, statements that run the program on executors are started,
// listened to, interrupted and found again by another process, and out come the
// lines that the program has printed. It knows nothing of training, and never
// runs anything here.
//
// A statement runs at the server whether anybody listens or not. Streams of
// answers end by design of the protocol, and break: they are taken up again
// where they were. A server that was restarted knows nothing any more, which
// ErrLost says; then everything must be asked for again.
//
// It speaks gRPC by the standard library's HTTP/2, and reads and writes the few
// protobuf messages and the one shape of Arrow data that it needs by hand. The
// official way, grpc-go with generated messages and arrow-go, makes a program of
// 17.5 MB that does the same; this one adds 0.1 MB to fettle, which has the rest
// of it (HTTP/2, TLS) already.
package spark
