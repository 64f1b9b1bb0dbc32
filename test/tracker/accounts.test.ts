/** Passwords: right ones pass, wrong ones cost, too many wait, and a crowd is held to a queue. */
import { describe, expect, test } from 'vitest';
import { ACCOUNT_LIMITS, type AccountLimits, Accounts } from '../../src/main/tracker/accounts.ts';
import { Attempts, addressKey } from '../../src/main/tracker/attempts.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { userId } from '../support/registry.ts';

const limits = (over: Partial<AccountLimits>): AccountLimits => ({ ...ACCOUNT_LIMITS, ...over });

async function withUser(over: Partial<AccountLimits> = {}) {
  const clock = new ManualClock();
  const accounts = await Accounts.create(clock, limits(over));
  const passwordHash = await accounts.hash('caf\u00e9', '10.0.0.9');
  return { clock, accounts, user: { id: userId(1), name: 'swas', passwordHash } };
}

describe('passwords', () => {
  test('are kept as argon2id, and match however their accents are written', async () => {
    const { accounts, user } = await withUser();
    expect(user.passwordHash).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
    expect(await accounts.check('swas', user, 'cafe\u0301', '10.0.0.1')).toBe(user);
    await expect(accounts.check('swas', user, 'cafe', '10.0.0.1')).rejects.toMatchObject({ code: 'wrong-password' });
  });

  test('of users who do not exist are checked as thoroughly as those of others', async () => {
    const { accounts, user } = await withUser({ perAccountMax: 1000 });
    const guess = async (account: typeof user | undefined) => {
      const start = performance.now();
      await accounts.check('swas', account, 'guess', '10.0.0.1').catch(() => {});
      return performance.now() - start;
    };
    // In turns, so that what else the machine does meets both alike.
    const times = { known: [] as number[], unknown: [] as number[] };
    for (let round = 0; round < 11; round += 1) {
      times.known.push(await guess(user));
      times.unknown.push(await guess(undefined));
    }
    const median = (values: number[]) => values.sort((a, b) => a - b)[5] ?? 0;
    const [known, unknown] = [median(times.known), median(times.unknown)];
    expect(unknown / known).toBeGreaterThan(0.4);
    expect(unknown / known).toBeLessThan(2.5);
  });

  test('that are wrong too often make the account wait, however many addresses ask, and right ones do not', async () => {
    const { clock, accounts, user } = await withUser({ perAccountMax: 3 });
    for (let round = 0; round < 5; round += 1) await accounts.check('swas', user, 'caf\u00e9', '10.0.0.1');
    for (const address of ['10.0.0.1', '10.0.0.2', '10.0.0.3']) {
      await expect(accounts.check('swas', user, 'no', address)).rejects.toMatchObject({ code: 'wrong-password' });
    }
    clock.advance(20_000);
    await expect(accounts.check('swas', user, 'caf\u00e9', '10.0.0.4')).rejects.toMatchObject({
      code: 'too-many-attempts',
      hint: 'try again in 40 seconds',
    });
    clock.advance(40_000);
    expect(await accounts.check('swas', user, 'caf\u00e9', '10.0.0.4')).toBe(user);
  });

  test('guessed many at once count before any is answered', async () => {
    const { accounts, user } = await withUser({ perAccountMax: 3 });
    const guesses = Array.from({ length: 10 }, () =>
      accounts.check('swas', user, 'no', '10.0.0.1').catch((error: { code: string }) => error.code),
    );
    const codes = await Promise.all(guesses);
    expect(codes.filter((code) => code === 'wrong-password')).toHaveLength(3);
    expect(codes.filter((code) => code === 'too-many-attempts')).toHaveLength(7);
  });

  test('from one address are limited, from others not', async () => {
    const { accounts, user } = await withUser({ perAddressMax: 2 });
    await accounts.check('swas', user, 'caf\u00e9', '10.0.0.1');
    await accounts.hash('x', '::ffff:10.0.0.1');
    await expect(accounts.hash('x', '10.0.0.1')).rejects.toMatchObject({ code: 'too-many-attempts' });
    await accounts.hash('x', '10.0.0.2');
  });

  test('of a crowd wait in a queue of bounded length, and all in it are served', async () => {
    const { accounts } = await withUser({ perAddressMax: 1000 });
    const outcomes = await Promise.all(
      Array.from({ length: 140 }, () =>
        accounts.hash('x', '10.0.0.1').then(
          () => 'done',
          (error: { code: string }) => error.code,
        ),
      ),
    );
    expect(outcomes.filter((outcome) => outcome === 'done')).toHaveLength(130);
    expect(outcomes.filter((outcome) => outcome === 'busy')).toHaveLength(10);
    await accounts.hash('x', '10.0.0.1');
  });
});

describe('attempts', () => {
  test('forget the oldest key rather than grow without end', () => {
    const attempts = new Attempts({ max: 1, windowMs: 1000 });
    attempts.count('first', 0);
    expect(attempts.waitMs('first', 400)).toBe(600);
    for (let key = 0; key < 65_536; key += 1) attempts.count(`key${key}`, 0);
    expect(attempts.waitMs('first', 400)).toBe(0);
    expect(attempts.waitMs('key65535', 400)).toBe(600);
  });

  test('do not outlast a clock that was set back', () => {
    const attempts = new Attempts({ max: 1, windowMs: 1000 });
    attempts.count('key', 1_000_000);
    expect(attempts.waitMs('key', 5)).toBe(0);
  });

  test.each([
    ['10.0.0.1', '10.0.0.1'],
    ['::ffff:10.0.0.1', '10.0.0.1'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:db8:1:2::9', '2001:db8:1:2::/64'],
    ['2001:0db8::1', '2001:db8:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
  ])('the address %s counts as %s', (address, key) => {
    expect(addressKey(address)).toBe(key);
  });
});
