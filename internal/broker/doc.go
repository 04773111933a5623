// Package broker is the MQTT broker inside fettle: what sensors, scripts and
// dashboards connect to.
//
// Clients' messages come in over MQTT 3.1.1 and 5, by TCP and WebSocket, plain or over TLS; those
// on topics that fettle wants go to the receive function it was given, and then,
// as all others, to whoever subscribed. It never reads a payload, keeps no
// reading, and knows no machine.
//
// # Acknowledged means received
//
// A message is acknowledged (PUBACK at QoS 1, PUBREC at QoS 2) when receive has
// called back with nil or an error of kind Invalid. After any other error it is
// not: a client of MQTT 5 gets reason 0x97 (quota exceeded), one of 3.1.1, which
// has no such words, loses its connection and sends again when it is back. At
// QoS 0 the message is dropped and counted. A message that was not taken goes to
// no subscriber either.
//
// A client's next messages are taken while its first waits for the disk: up to
// 256 of them or 1 MiB, and 64 MiB of all clients together, then it is not read
// until some are answered. They are
// received, answered, and passed to subscribers in the order in which it sent
// them. Those taken from a client that is gone meanwhile still reach the
// subscribers, and reach them again if it sends them again.
//
// At QoS 2 a message is received once within a session, which lives as long as
// the program. What a client sends again after fettle was restarted is received
// again; a row that carries its own time is then merged with itself.
//
// # How it is built
//
// On mochi, which reads packets and keeps subscriptions and sessions. But it
// answers each message before it reads the client's next, keeps the ids of both
// directions in one map, copies each message for each subscriber, and bounds what
// waits by number. So the way of a published message is ours, on both sides of the
// broker: from the publisher to its answer (publish.go, window.go, receipts.go),
// and from there to the subscribers (deliver.go, room.go, outbox.go, sending.go).
// mochi is shown each message as one of QoS 0, and told to reject it when it comes
// to OnPublish; of acknowledgements, wills and retained messages it hears nothing.
// It sends only answers, and $SYS.
//
// A listener of our own for publishers only was thought of and not built: in
// BenchmarkMQTT of the package app mochi's share is a quarter of the 10 us of CPU
// that a message takes from one socket to the other, client and commit included;
// the rest would stay.
//
// A packet at which mochi's reading breaks off (there is such a SUBSCRIBE) ends its
// connection and is logged.
//
// # Who may do what
//
// Without users anybody may connect with any name and password, as on the old
// broker; then every listener must be on loopback, and a browser's page must be
// one of this computer's own. Over TLS a certificate of mqtt.tls_client_ca stands
// for name and password: its common name is the user. Renewed files of
// certificates are used for the next connections, without a restart.
//
// Users of the configuration, and holders of certificates without an account,
// have all rights. An account of the data folder has the topics it was given;
// what its client may not subscribe to is refused (0x87, 0x80 in 3.1.1), and a
// change is in force at once. Those who were connected before there was any user
// stay so. While there are users, a client id belongs to the user who has a
// session under it.
//
// Clients may publish anything but fettle's own topics, fettle/alarm/# and
// fettle/event/#, and those that begin with $. A message on a topic that is not
// allowed is dropped at QoS 0; above it MQTT 5 gets reason 0x87 (not authorized)
// and 3.1.1 loses its connection.
//
// # Slow subscribers
//
// What a subscriber has not acknowledged yet, or at QoS 0 not read, waits for it in
// its outbox: Limits.Queue bytes at most, and Limits.QueueTotal for all, those that
// are away included. Counted are the messages, as if each subscriber had its own
// copy, and 256 bytes for each. A message larger than Limits.Queue waits alone.
// Beyond the limits messages are lost to that subscriber, the newest first; they
// are counted as dropped, and logged once, with who and which limit, until it has
// caught up to a quarter of what it may use. When all together is used up, those
// that hold most lose their newest to those that hold less than an equal share.
//
// At QoS 1 and 2 publishers wait for a subscriber whose outbox is half full until
// it is down to a quarter, but only until a second after the last sign that it
// reads, and not again before it has caught up. So one that takes what it gets, only
// more slowly than it comes, loses none, and one that is dead holds publishers up
// once, if at all; all who are dead together do so at the same time. For QoS 0 and
// for fettle's own messages nobody waits. The wait is after the acknowledgement,
// so it slows readings only when a window is full. A client that reads nothing for
// a minute is disconnected.
//
// # What outlives the program
//
// Retained messages, 64 MiB of them, and the sessions of clients that asked for it
// (clean start off, in MQTT 5 with an expiry): Limits.Sessions of them, for a week,
// with their subscriptions and the messages of QoS 1 and 2 in their outboxes, in
// order, and how far each exchange of QoS 2 had come. They are written once a
// second and when the broker stops. So a program that is killed loses, of these,
// the last second, and what a connected subscriber had not acknowledged; a power
// cut may take some seconds more. (What was received as a reading is on disk all
// the same.) Nor do these outlive it: a will that waits for its delay, retained
// messages that a new subscription has still to get, and the ids of QoS 2 that a
// publisher had not released.
package broker
