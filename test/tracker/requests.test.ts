/** Who may do what, and what is said to those who may not: a code, a sentence, what to do next. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { answerTo, checkLogin, checkNewUser } from '../../src/main/tracker/requests.ts';
import { RequestError } from '../../src/protocol/errors.ts';
import { requestId, root, Town } from '../support/registry.ts';

const town = new Town();
const [swas, bob, eve] = town.users('swas', 'bob', 'eve') as [never, never, never];
const file = { name: 'libc.pdf', sizeBytes: 9, pieceSizeBytes: 16_384, root: root(7) };
town.group('pdfs', swas, ['bob', bob]);
town.ask(bob, { method: 'add_file', params: { group: 'pdfs', ...file } });
town.ask(eve, { method: 'join_group', params: { group: 'pdfs' } });

function refusal(task: () => unknown): string {
  try {
    task();
  } catch (error) {
    if (error instanceof RequestError)
      return [error.code, error.message, ...(error.hint ? [error.hint] : [])].join(' | ');
    throw error;
  }
  throw new Error('not refused');
}
type Ask = Parameters<Town['ask']>[1];
const refused = (asker: Parameters<Town['ask']>[0], change: Ask) => refusal(() => town.ask(asker, change));

const CASES: readonly (readonly [string, Parameters<Town['ask']>[0], Ask, string])[] = [
  [
    'a stranger',
    { device: (swas as { device: never }).device, session: undefined },
    { method: 'create_group', params: { group: 'x' } },
    'not-logged-in | you are not logged in | log in first: login <user_id> <passwd>',
  ],
  [
    'a group name in use',
    eve,
    { method: 'create_group', params: { group: 'pdfs' } },
    'name-taken | there is a group "pdfs" already | choose another name, or ask to join it: join_group pdfs',
  ],
  [
    'a group name with a slash',
    eve,
    { method: 'create_group', params: { group: 'a/b' } },
    'bad-name | "a/b" can\'t be the name of a group: it has one of / \\ ~ | choose another name',
  ],
  [
    'a group that is not',
    eve,
    { method: 'join_group', params: { group: 'no\u202epe' } },
    'no-such-group | there is no group "no\ufffdpe" | list_groups shows those that exist',
  ],
  [
    'joining twice',
    eve,
    { method: 'join_group', params: { group: 'pdfs' } },
    'already-asked | you have asked to join "pdfs" already | swas, its owner, has not answered yet',
  ],
  [
    'a member who joins',
    bob,
    { method: 'join_group', params: { group: 'pdfs' } },
    'already-member | you are a member of "pdfs" already',
  ],
  [
    'leaving what one is not in',
    eve,
    { method: 'leave_group', params: { group: 'pdfs' } },
    'not-a-member | you are not a member of "pdfs" | you have asked to join it: swas, its owner, has not answered yet',
  ],
  [
    'a member who accepts',
    bob,
    { method: 'accept_request', params: { group: 'pdfs', user: 'eve' } },
    'not-the-owner | only swas, the owner of "pdfs", can accept its requests',
  ],
  [
    'a member who removes',
    bob,
    { method: 'remove_member', params: { group: 'pdfs', user: 'swas' } },
    'not-the-owner | only swas, the owner of "pdfs", can remove members',
  ],
  [
    'accepting nobody',
    swas,
    { method: 'accept_request', params: { group: 'pdfs', user: 'ann' } },
    'no-such-user | there is no user "ann"',
  ],
  [
    'accepting a member',
    swas,
    { method: 'accept_request', params: { group: 'pdfs', user: 'bob' } },
    'already-member | bob is a member of "pdfs" already',
  ],
  [
    'an owner who removes himself',
    swas,
    { method: 'remove_member', params: { group: 'pdfs', user: 'swas' } },
    'bad-request | the owner of a group can leave it, but not be removed | to leave the group: leave_group pdfs',
  ],
  [
    'removing who is no member',
    swas,
    { method: 'remove_member', params: { group: 'pdfs', user: 'eve' } },
    'not-a-member | eve is not a member of "pdfs"',
  ],
  [
    'sharing as a stranger to the group',
    eve,
    { method: 'add_file', params: { group: 'pdfs', ...file } },
    'not-a-member | you are not a member of "pdfs" | you have asked to join it: swas, its owner, has not answered yet',
  ],
  [
    'another file of the same name',
    swas,
    { method: 'add_file', params: { group: 'pdfs', ...file, root: root(8) } },
    'name-taken | "pdfs" has another file named "libc.pdf" | rename your file and share it again, or put it in its place: upload_file --replace',
  ],
  [
    'the same file in other pieces',
    swas,
    { method: 'add_file', params: { group: 'pdfs', ...file, pieceSizeBytes: 32_768, root: root(8) } },
    'name-taken | "pdfs" has another file named "libc.pdf" | if it is the same file, share it in pieces of 16384 bytes, as it was; else rename it',
  ],
  [
    'a name that climbs',
    swas,
    { method: 'add_file', params: { group: 'pdfs', ...file, name: 'a/../b' } },
    'bad-name | "a/../b" can\'t be the name of a file: ".." is not a name | choose another name',
  ],
  [
    'a piece size that is none',
    swas,
    { method: 'add_file', params: { group: 'pdfs', ...file, name: 'new', pieceSizeBytes: 1000 } },
    "bad-request | this can't be cut into pieces: piece size 1000 | choose a larger piece size",
  ],
];

describe('refusals', () => {
  test.each(CASES)('%s', (_, asker, change, expected) => {
    expect(refused(asker, change)).toBe(expected);
  });

  test('a name with spaces is quoted in the hint as the shell reads it', () => {
    town.group('my "old" pdfs', swas);
    expect(refused(bob, { method: 'leave_group', params: { group: 'my "old" pdfs' } })).toContain(
      'join_group "my \\"old\\" pdfs"',
    );
  });

  test('a rejected request is gone, and can be made again', () => {
    const [ann] = town.users('ann2') as [never];
    town.ask(ann, { method: 'join_group', params: { group: 'pdfs' } });
    town.ask(swas, { method: 'reject_request', params: { group: 'pdfs', user: 'ann2' } });
    expect(refused(swas, { method: 'accept_request', params: { group: 'pdfs', user: 'ann2' } })).toBe(
      'no-such-request | ann2 has not asked to join "pdfs" | list_requests pdfs shows who has',
    );
    town.ask(ann, { method: 'join_group', params: { group: 'pdfs' } });
  });

  test('new users need a name that is free and allowed, and a password', () => {
    const check = (user: string, password: string) =>
      refusal(() => checkNewUser({ requestId: requestId(0), user, password }, town.registry));
    expect(check('swas', 'x')).toBe('name-taken | there is a user "swas" already | choose another name');
    expect(check('a~1', 'x')).toMatch(/^bad-name/);
    expect(check('', 'x')).toMatch(/^bad-name/);
    expect(check('new', '')).toBe("bad-name | this password can't be used: it is empty | choose another one");
    expect(check('new', 'x'.repeat(257))).toMatch(/^bad-name/);
  });

  test('a connection serves one user at a time', () => {
    expect(refusal(() => checkLogin('bob', swas, town.registry, 0))).toBe(
      'already-logged-in | you are logged in as swas | log out first: logout',
    );
    checkLogin('swas', swas, town.registry, 0);
    // Sessions of this town end at 1000 ms.
    checkLogin('bob', swas, town.registry, 1000);
  });
});

describe('sharing', () => {
  test('the same file under the same name needs no transaction; under another name it is another file', () => {
    const before = town.transactions.length;
    town.ask(swas, { method: 'add_file', params: { group: 'pdfs', ...file } });
    expect(town.transactions).toHaveLength(before);
    town.ask(swas, { method: 'add_file', params: { group: 'pdfs', ...file, name: 'copy.pdf' } });
    expect(town.registry.groupNamed('pdfs')?.files.size).toBe(2);
  });
});

const NAMES = ['ann', 'bob', 'eve', 'zoe'];
const wish: fc.Arbitrary<{ who: number; change: Ask }> = fc.record({
  who: fc.integer({ min: 0, max: 3 }),
  change: fc.oneof(
    ...(['create_group', 'join_group', 'leave_group'] as const).map((method) =>
      fc.constantFrom('g1', 'g2').map((group): Ask => ({ method, params: { group } })),
    ),
    ...(['accept_request', 'reject_request', 'remove_member'] as const).map((method) =>
      fc
        .record({ group: fc.constantFrom('g1', 'g2'), user: fc.constantFrom(...NAMES) })
        .map((params): Ask => ({ method, params })),
    ),
    fc
      .record({
        group: fc.constantFrom('g1', 'g2'),
        name: fc.constantFrom('f1', 'f2'),
        root: fc.constantFrom(1, 2).map(root),
      })
      .map((params): Ask => ({ method: 'add_file', params: { sizeBytes: 1, pieceSizeBytes: 16_384, ...params } })),
  ),
});

test('what is allowed applies, has an answer, and that answer stays the same whatever happens later', () => {
  fc.assert(
    fc.property(fc.array(wish, { maxLength: 80 }), (wishes) => {
      const village = new Town();
      const people = village.users(...NAMES);
      const answers: unknown[] = village.transactions.map((transaction) => answerTo(transaction, village.registry));
      for (const { who, change } of wishes) {
        const asker = people[who];
        if (!asker) throw new Error('nobody');
        const before = village.transactions.length;
        try {
          const outcome = village.ask(asker, change);
          if (village.transactions.length > before) expect(outcome).toBeDefined();
        } catch (error) {
          if (!(error instanceof RequestError)) throw error;
        }
        for (const transaction of village.transactions.slice(before)) {
          answers.push(answerTo(transaction, village.registry));
        }
      }
      expect(village.transactions.map((transaction) => answerTo(transaction, village.registry))).toEqual(answers);
    }),
  );
});
