/** What transactions add up to; that they can come in any order without harm, and that a replay gives the same. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Registry } from '../../src/main/tracker/registry.ts';
import type { Operation } from '../../src/protocol/transaction.ts';
import { operation } from '../support/operations.ts';
import { deviceId, root, sessionId, Town, transactionOf, userId } from '../support/registry.ts';

describe('a group', () => {
  test('goes from an owner who leaves to the longest-standing member, not to the first by name or id', () => {
    const town = new Town();
    const [swas, abe, zoe] = town.users('swas', 'abe', 'zoe') as [never, never, never];
    town.group('pdfs', swas, ['zoe', zoe], ['abe', abe]);
    expect(town.members('pdfs')).toEqual(['swas', 'zoe', 'abe']);
    town.ask(swas, { method: 'leave_group', params: { group: 'pdfs' } });
    expect(town.owner('pdfs')).toBe('zoe');
    expect(town.members('pdfs')).toEqual(['zoe', 'abe']);
  });

  test('who leaves and comes back stands at the end of the line', () => {
    const town = new Town();
    const [swas, abe, zoe] = town.users('swas', 'abe', 'zoe') as [never, never, never];
    town.group('pdfs', swas, ['zoe', zoe], ['abe', abe]);
    town.ask(zoe, { method: 'leave_group', params: { group: 'pdfs' } });
    expect(town.owner('pdfs')).toBe('swas');
    town.ask(zoe, { method: 'join_group', params: { group: 'pdfs' } });
    town.ask(swas, { method: 'accept_request', params: { group: 'pdfs', user: 'zoe' } });
    town.ask(swas, { method: 'leave_group', params: { group: 'pdfs' } });
    expect(town.owner('pdfs')).toBe('abe');
  });

  test('is dissolved by the last one out: its name is free, its files and requests are gone', () => {
    const town = new Town();
    const [swas, abe] = town.users('swas', 'abe') as [never, never];
    town.group('pdfs', swas);
    const file = { name: 'f', sizeBytes: 1, pieceSizeBytes: 16_384, root: root(1) };
    town.ask(swas, { method: 'add_file', params: { group: 'pdfs', ...file } });
    town.ask(abe, { method: 'join_group', params: { group: 'pdfs' } });
    expect(town.ask(swas, { method: 'leave_group', params: { group: 'pdfs' } })).toMatchObject({ dissolved: true });
    expect(town.registry.groupNamed('pdfs')).toBeUndefined();
    town.group('pdfs', abe);
    expect(town.members('pdfs')).toEqual(['abe']);
    expect(town.registry.groupNamed('pdfs')?.files.size).toBe(0);
    expect(town.registry.groupNamed('pdfs')?.requests.size).toBe(0);
  });
});

describe('a session', () => {
  test('is replaced by a newer one of the same device, and only by that', () => {
    const town = new Town();
    town.users('swas');
    const open = { type: 'session-opened', user: userId(1), expiresMs: 9 } as const;
    town.execute({ ...open, session: sessionId(10), device: deviceId(10) });
    town.execute({ ...open, session: sessionId(11), device: deviceId(11) });
    expect(town.execute({ ...open, session: sessionId(12), device: deviceId(10) })).toEqual({ ended: [sessionId(10)] });
    const opened = [10, 11, 12].map((number) => town.registry.session(sessionId(number)) !== undefined);
    expect(opened).toEqual([false, true, true]);
  });
});

/** People first, so that what follows often applies; the rest in any order, however little sense it makes. */
const history = fc.array(operation, { maxLength: 120 }).map((rest) => {
  const people = [1, 2, 3].map(
    (number): Operation => ({ type: 'user-created', user: userId(number), name: `n${number}`, passwordHash: '' }),
  );
  return [...people, ...rest].map((op, at) => transactionOf(op, at + 1));
});

describe('any history', () => {
  test('executes, and gives the same registry when it is replayed', () => {
    fc.assert(
      fc.property(history, (transactions) => {
        const [first, second] = [new Registry(), new Registry()];
        const outcomes = transactions.map((transaction) => first.execute(transaction));
        for (const [at, transaction] of transactions.entries()) {
          const outcome = second.execute(transaction);
          expect(outcome === undefined).toBe(outcomes[at] === undefined);
        }
        expect(second.snapshot()).toEqual(first.snapshot());
      }),
    );
  });

  test('changes nothing where it no longer applies', () => {
    fc.assert(
      fc.property(history, (transactions) => {
        const registry = new Registry();
        for (const transaction of transactions) {
          const before = structuredClone(registry.snapshot());
          if (registry.execute(transaction) === undefined) expect(registry.snapshot()).toEqual(before);
          else expect(registry.snapshot()).not.toEqual(before);
        }
      }),
      { numRuns: 30 },
    );
  });

  test('leaves every group with its owner among its members, and nobody both member and asking', () => {
    fc.assert(
      fc.property(history, (transactions) => {
        const registry = new Registry();
        for (const transaction of transactions) registry.execute(transaction);
        const groups = [...registry.groupsAfter(undefined)];
        for (const group of groups) {
          expect(group.members.has(group.owner)).toBe(true);
          expect([...group.requests].filter((user) => group.members.has(user))).toEqual([]);
          expect(registry.groupNamed(group.name)).toBe(group);
          const listed = [...group.filesByName.after(undefined)];
          expect(listed).toHaveLength(group.files.size);
          expect(listed.map((file) => file.name)).toEqual(listed.map((file) => file.name).toSorted());
          for (const file of listed) expect(group.files.get(file.file)).toBe(file);
        }
        expect(groups.map((group) => group.name)).toEqual(groups.map((group) => group.name).toSorted());
      }),
    );
  });
});
