"""Publishes 0, 1 and 2 at that QoS over WebSocket, and prints what comes back.

usage: websocket.py HOST PORT MQTTv311|MQTTv5, with python3-paho-mqtt 1.6 or 2.
"""

import sys

import paho.mqtt.client as mqtt

host, port, version = sys.argv[1], int(sys.argv[2]), getattr(mqtt, sys.argv[3])
if hasattr(mqtt, "CallbackAPIVersion"):
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION1, protocol=version, transport="websockets")
else:
    client = mqtt.Client(protocol=version, transport="websockets")


def on_connect(client, *_):
    client.subscribe("sensor/#", qos=2)


def on_subscribe(client, *_):
    publish(0)


def on_message(client, _, message):
    n = int(message.payload)
    print(n, flush=True)
    if n == 2:
        client.disconnect()
    else:
        publish(n + 1)


def publish(n):
    client.publish("sensor/data", str(n), qos=n)


client.on_connect, client.on_subscribe, client.on_message = on_connect, on_subscribe, on_message
client.username_pw_set("test", "test")
client.connect(host, port)
client.loop_forever()
