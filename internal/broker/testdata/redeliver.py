"""Publishes one message at QoS 1 with MQTT 3.1.1 and waits until it is
acknowledged, over as many connections as it takes.

usage: redeliver.py HOST PORT TOPIC MESSAGE, with python3-paho-mqtt 1.6 or 2.
"""

import sys

import paho.mqtt.client as mqtt

host, port, topic, message = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
if hasattr(mqtt, "CallbackAPIVersion"):
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION1, "redeliver", clean_session=False)
else:
    client = mqtt.Client("redeliver", clean_session=False)
client.on_publish = lambda client, *_: client.disconnect()
client.reconnect_delay_set(min_delay=1, max_delay=1)
client.connect(host, port)
client.publish(topic, message, qos=1)
client.loop_forever()
