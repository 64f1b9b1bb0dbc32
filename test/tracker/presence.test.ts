/** Who serves what: each test reads as a transcript of what watchers are told. */
import { describe, expect, test } from 'vitest';
import { type Attendee, Presence, type Whereabouts } from '../../src/main/tracker/presence.ts';
import { PAGE_ITEMS_MAX } from '../../src/protocol/limits.ts';
import type { Push } from '../../src/protocol/messages.ts';
import { deviceId, fileId, groupId, userId } from '../support/registry.ts';

const PDFS = groupId(1);
const PICS = groupId(2);
const [LIBC, HTTP, CAT] = [fileId(1), fileId(2), fileId(3)];
const at = (port: number): Whereabouts => ({ user: userId(1), userName: 'u', address: { host: 'h', port } });

class Ear implements Attendee {
  readonly device;
  readonly #heard: string[] = [];
  constructor(device: number) {
    this.device = deviceId(device);
  }
  push(push: Push): void {
    if (push.type === 'peer-online') {
      this.#heard.push(`+${Number.parseInt(push.peer.device, 16)}:${push.peer.address.port} f${Number(push.file)}`);
    } else if (push.type === 'peer-offline') {
      this.#heard.push(`-${Number.parseInt(push.device, 16)} f${Number(push.file)}`);
    }
  }
  /** What was heard since the last time. */
  heard(): string {
    return this.#heard.splice(0).join(', ');
  }
}

const devices = (peers: readonly { device: string }[]) => peers.map(({ device }) => Number.parseInt(device, 16));

describe('presence', () => {
  test('tells watchers who comes, moves and goes, and each of them once', () => {
    const presence = new Presence(() => 0);
    const [watcher, seeder] = [new Ear(1), new Ear(2)];
    expect(presence.watch(watcher, PDFS, LIBC)).toEqual([]);
    presence.announce(seeder, at(70), [{ group: PDFS, file: LIBC }]);
    expect(watcher.heard()).toBe('+2:70 f1');
    presence.announce(seeder, at(70), [
      { group: PDFS, file: LIBC },
      { group: PDFS, file: HTTP },
    ]);
    expect(watcher.heard()).toBe('');
    presence.announce(seeder, at(71), []);
    expect(watcher.heard()).toBe('+2:71 f1');
    expect(presence.seedersOnline(LIBC)).toBe(1);
    presence.leave(seeder);
    expect(watcher.heard()).toBe('-2 f1');
    expect(presence.seedersOnline(LIBC)).toBe(0);
  });

  test('tells nobody of their own device, on whatever connection', () => {
    const presence = new Presence(() => 0);
    const [here, there] = [new Ear(1), new Ear(1)];
    presence.announce(here, at(70), [{ group: PDFS, file: LIBC }]);
    expect(presence.watch(here, PDFS, LIBC)).toEqual([]);
    expect(presence.watch(there, PDFS, LIBC)).toEqual([]);
    presence.leave(here);
    expect(there.heard()).toBe('');
  });

  test('a device that announces again on a new connection stays when the old one ends', () => {
    const presence = new Presence(() => 0);
    const [watcher, before, after] = [new Ear(1), new Ear(2), new Ear(2)];
    presence.watch(watcher, PDFS, LIBC);
    presence.announce(before, at(70), [{ group: PDFS, file: LIBC }]);
    presence.announce(after, at(70), [{ group: PDFS, file: LIBC }]);
    expect(watcher.heard()).toBe('+2:70 f1');
    presence.leave(before);
    expect(watcher.heard()).toBe('');
    expect(presence.seedersOnline(LIBC)).toBe(1);
    presence.leave(after);
    expect(watcher.heard()).toBe('-2 f1');
  });

  test('withdrawing and unwatching end one file, leaving a group ends its files', () => {
    const presence = new Presence(() => 0);
    const [watcher, seeder] = [new Ear(1), new Ear(2)];
    for (const [group, file] of [
      [PDFS, LIBC],
      [PDFS, HTTP],
      [PICS, CAT],
    ] as const) {
      presence.watch(watcher, group, file);
      presence.announce(seeder, at(70), [{ group, file }]);
    }
    expect(watcher.heard()).toBe('+2:70 f1, +2:70 f2, +2:70 f3');
    presence.withdraw(seeder, [LIBC]);
    expect(watcher.heard()).toBe('-2 f1');
    presence.unwatch(watcher, CAT);
    presence.withdraw(seeder, [CAT]);
    expect(watcher.heard()).toBe('');
    presence.announce(seeder, at(70), [{ group: PICS, file: CAT }]);
    presence.leaveGroup(seeder, PDFS);
    expect(watcher.heard()).toBe('-2 f2');
    expect(presence.seedersOnline(CAT)).toBe(1);
    presence.leaveGroup(watcher, PDFS);
    presence.announce(seeder, at(70), [{ group: PDFS, file: HTTP }]);
    expect(watcher.heard()).toBe('');
  });

  test('names each of many peers as likely as any other, and none twice', () => {
    let step = 0;
    // A low-discrepancy walk through 0 to 1: every part of the list is drawn from.
    const presence = new Presence(() => {
      step += 1;
      return (step * 0.618_033_988_75) % 1;
    });
    const count = 2 * PAGE_ITEMS_MAX;
    for (let device = 1; device <= count; device += 1) {
      presence.announce(new Ear(device), at(70), [{ group: PDFS, file: LIBC }]);
    }
    const watcher = new Ear(count + 1);
    const seen = new Map<number, number>();
    for (let round = 0; round < 20; round += 1) {
      const peers = devices(presence.watch(watcher, PDFS, LIBC));
      expect(new Set(peers).size).toBe(PAGE_ITEMS_MAX);
      for (const peer of peers) seen.set(peer, (seen.get(peer) ?? 0) + 1);
    }
    expect(seen.size).toBe(count);
    expect(Math.max(...seen.values())).toBeLessThan(20);
  });
});
