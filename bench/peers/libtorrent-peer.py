"""One libtorrent peer, driven line by line. Started by bench/peers/libtorrent.ts:

    libtorrent-peer.py seed TORRENT DIRECTORY          checks what lies there, says {"port": n}, serves until its input ends
    libtorrent-peer.py download TORRENT DIRECTORY      says {"port": n}; a line of input with ports, separated by spaces,
                                                       is the command to fetch from them: says {"seconds": s} when done

The settings are libtorrent's own for a fast seed, without what would cost it time here: no encryption, no uTP, no rate
limits, no discovery.
"""

import json
import sys
import time

import libtorrent as lt

HOST = "127.0.0.1"
POLL_MS = 60_000
MIB = 1 << 20


def settings():
    chosen = lt.high_performance_seed()
    chosen.update(
        {
            "listen_interfaces": f"{HOST}:0",
            "enable_dht": False,
            "enable_lsd": False,
            "enable_upnp": False,
            "enable_natpmp": False,
            "enable_incoming_utp": False,
            "enable_outgoing_utp": False,
            "in_enc_policy": lt.enc_policy.pe_disabled,
            "out_enc_policy": lt.enc_policy.pe_disabled,
            "allow_multiple_connections_per_ip": True,
            # Of what was tried on two cores, the fastest: fewer threads, deeper queues and larger buffers gained nothing.
            "aio_threads": 4,
            "hashing_threads": 2,
            "download_rate_limit": 0,
            "upload_rate_limit": 0,
            "alert_mask": lt.alert.category_t.status_notification | lt.alert.category_t.error_notification,
        }
    )
    return chosen


def say(**fields):
    print(json.dumps(fields), flush=True)


def wait_for(session, done):
    """Waits until an alert for which `done` is true; an error of the torrent ends the process."""
    while True:
        session.wait_for_alert(POLL_MS)
        for alert in session.pop_alerts():
            if isinstance(alert, (lt.torrent_error_alert, lt.file_error_alert)):
                sys.exit(alert.message())
            if done(alert):
                return


def add(session, torrent, directory):
    return session.add_torrent({"ti": lt.torrent_info(torrent), "save_path": directory})


def finished(alert):
    return isinstance(alert, lt.torrent_finished_alert)


def main():
    role, torrent, directory = sys.argv[1:4]
    session = lt.session(settings())
    if role == "seed":
        add(session, torrent, directory)
        wait_for(session, finished)
        say(port=session.listen_port())
        sys.stdin.read()
        return
    say(port=session.listen_port())
    ports = [int(port) for port in sys.stdin.readline().split()]
    started = time.monotonic()
    handle = add(session, torrent, directory)
    for port in ports:
        handle.connect_peer((HOST, port))
    wait_for(session, finished)
    say(seconds=time.monotonic() - started)
    sys.stdin.read()


main()
