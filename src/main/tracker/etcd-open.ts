/** Loads etcd's client when it is needed: trackers that keep their log on their own disks do without. */
import { systemClock } from '../support/clock.ts';
import { type EtcdSettings, requireTlsAway } from './etcd-settings.ts';
import type { SharedLog } from './shared-log.ts';

/** Says nothing yet about whether it can be reached. Throws RequestError('bad-request') for what may not be. */
export async function openEtcd(settings: EtcdSettings): Promise<SharedLog> {
  requireTlsAway(settings);
  const { EtcdLog } = await import('./etcd-log.ts');
  return new EtcdLog(settings, systemClock);
}
