package api

import (
	"time"

	"fettle"
)

// A Status is what the server tells of itself: to GET /api/v1/status, to
// `fettle status` and to /metrics.
type Status struct {
	Version       string          `json:"version"`
	Started       time.Time       `json:"started"`
	UptimeSeconds float64         `json:"uptime_seconds"`
	PID           int             `json:"pid"`
	DataDir       string          `json:"data_dir"`
	Addresses     Addresses       `json:"addresses"`
	Parts         []Part          `json:"parts" doc:"In the order in which a reading walks through them"`
	Machines      []MachineStatus `json:"machines" doc:"The one that needs people most first"`
	Resources     Resources       `json:"resources"`

	OutsideBrokers []OutsideBroker `json:"outside_brokers" doc:"MQTT brokers next door whose messages are taken in"`
}

// An OutsideBroker is one MQTT broker next door.
type OutsideBroker struct {
	Name         string     `json:"name"`
	URL          string     `json:"url" doc:"Without user and password"`
	Protocol     string     `json:"protocol,omitempty" doc:"Version of MQTT spoken, 5 or 3.1.1; absent before the first connection"`
	Connected    bool       `json:"connected" doc:"And subscribed"`
	Since        time.Time  `json:"since" doc:"Wall clock of the last change of connected, or of the start"`
	Connections  int64      `json:"connections" doc:"Made since the start"`
	LastError    string     `json:"last_error,omitempty" doc:"Why the last connection failed or ended, or a subscription was refused"`
	LastErrorAt  *time.Time `json:"last_error_at,omitempty"`
	Received     int64      `json:"received" doc:"Messages since the start, those sent again included"`
	Acknowledged int64      `json:"acknowledged" doc:"Of QoS 1, once they were on disk or refused for good"`
	Again        int64      `json:"again" doc:"Received once more only because the acknowledgement was lost, and not stored twice"`
	Waiting      int        `json:"waiting" doc:"Received and not yet on disk"`
	LagSeconds   float64    `json:"lag_seconds" doc:"How long the oldest of them waits"`
}

// Addresses are where the server listens, host:port each; empty where it does
// not.
type Addresses struct {
	HTTP      string `json:"http"`
	KeyedHTTP string `json:"keyed_http,omitempty" doc:"Asks everybody for a key"`
	Public    string `json:"public,omitempty" doc:"Where a tunnel leads to the keyed one from outside"`
	MQTT      string `json:"mqtt,omitempty"`
	WebSocket string `json:"websocket,omitempty" doc:"MQTT over websockets"`
	MQTTS     string `json:"mqtts,omitempty" doc:"MQTT over TLS"`
	WSS       string `json:"wss,omitempty" doc:"MQTT over encrypted websockets"`
}

// A PartState says how a part of the server does.
type PartState string

// The states of a part.
const (
	PartOK      PartState = "ok"
	PartWarning PartState = "warning"
	PartError   PartState = "error"
	PartOff     PartState = "off"
)

// A Part is one part of the server: the broker, the gate, the forecasters.
type Part struct {
	Name   string    `json:"name"`
	State  PartState `json:"state" enum:"ok,warning,error,off"`
	Detail string    `json:"detail" doc:"In words, for people"`
	Rates  []Rate    `json:"rates,omitempty"`
}

// A Rate is how fast something happens, over the last minute.
type Rate struct {
	Name      string  `json:"name" doc:"What is counted, such as messages"`
	PerSecond float64 `json:"per_second"`
}

// MachineStatus is the line of one machine in a Status.
type MachineStatus struct {
	Name         string              `json:"name"`
	State        fettle.MachineState `json:"state" enum:"alarm,no data,learning,normal"`
	Last         time.Time           `json:"last" doc:"Event time of its newest reading"`
	Arrived      *time.Time          `json:"arrived,omitempty" doc:"Wall clock of the last arrival; absent: none since the start"`
	StepSeconds  float64             `json:"step_seconds" doc:"Its usual time between readings"`
	Model        string              `json:"model,omitempty"`
	NextForecast *time.Time          `json:"next_forecast,omitempty" doc:"Event time at which the next forecast falls due"`
}

// Resources is what the server takes of its computer.
type Resources struct {
	CPUPercent    float64 `json:"cpu_percent" doc:"Of one core, over the last few seconds"`
	ResidentBytes int64   `json:"resident_bytes"`
	HeapBytes     int64   `json:"heap_bytes"`
	DiskBytes     int64   `json:"disk_bytes" doc:"Of the data folder"`
	DiskFreeBytes int64   `json:"disk_free_bytes"`
	Cores         int     `json:"cores"`
}

// A Sample is a number for /metrics. Name is a Prometheus name with its labels,
// in base units: fettle_ingest_readings_total, fettle_part_up{part="broker"}.
type Sample struct {
	Name  string
	Value float64
}
