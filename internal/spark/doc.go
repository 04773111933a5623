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
// protobuf messages and the one shape of Arrow data that it needs by hand. It
// makes fettle 0.17 MB larger (37.91 MB to 38.08 MB, stripped, linux/amd64). A
// program that did the same by grpc-go, generated messages and arrow-go had
// 17.5 MB, against 5.9 MB by hand: 11.6 MB that fettle has no room for, and three
// modules to keep up with. Spark's own client for Go calls itself experimental.
package spark
