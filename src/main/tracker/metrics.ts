/** The figures of a tracker in Prometheus' text format. Asked for only when a monitor looks. */
import { Gauge, Registry as Metrics } from 'prom-client';
import type { TrackerStatus } from './status.ts';

export const METRICS_CONTENT_TYPE = Metrics.PROMETHEUS_CONTENT_TYPE;

/** Names and meanings; docs/REPLICATION.md tells how to read them. */
export async function metricsText(status: TrackerStatus): Promise<string> {
  const metrics = new Metrics();
  const gauge = (name: string, help: string, labelNames: readonly string[] = []) =>
    new Gauge({ name: `p2pfs_tracker_${name}`, help, labelNames: [...labelNames], registers: [metrics] });
  gauge('connections', 'Clients that are connected').set(status.connections);
  gauge('transactions', 'Transactions of all trackers that are executed here').set(status.entries);
  gauge('transactions_per_second', 'Own transactions written in the last ten seconds').set(status.perSecond);
  gauge('replayed', 'Transactions done again because others came late').set(status.replayed);
  gauge('registries_differ', '1 when another tracker holds the same log and another registry').set(
    status.differs ? 1 : 0,
  );
  gauge('damaged_logs', 'Logs with an entry that nobody has given back').set(status.damaged);
  if (status.shared) {
    gauge('etcd_reachable', '1 when a majority of etcd answered last').set(status.shared.fault === undefined ? 1 : 0);
    gauge('etcd_members', 'Members of the etcd that keeps the log').set(status.shared.members);
  }
  const logs = gauge('log_entries', 'Entries held of a log', ['origin']);
  for (const [origin, seq = 0] of Object.entries(status.held)) logs.set({ origin }, seq);
  const lag = gauge('peer_lag', 'Entries that one side lacks of the other', ['peer', 'side']);
  for (const { peer, theyLack, weLack } of status.peers) {
    lag.set({ peer, side: 'they' }, theyLack);
    lag.set({ peer, side: 'we' }, weLack);
  }
  return metrics.metrics();
}
