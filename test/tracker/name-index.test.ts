/** Names in order, whatever was added and deleted in between; and stamps in order, whatever the clock does. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { compareHlc, nextHlc } from '../../src/main/tracker/hlc.ts';
import { NameIndex } from '../../src/main/tracker/name-index.ts';

const step = fc.record({ name: fc.string({ maxLength: 3 }), what: fc.constantFrom('add', 'delete', 'look') });

test('behaves as a map that is sorted each time somebody looks', () => {
  fc.assert(
    fc.property(fc.array(step), fc.option(fc.string({ maxLength: 3 }), { nil: undefined }), (steps, after) => {
      const index = new NameIndex<string>();
      const model = new Map<string, string>();
      for (const { name, what } of steps) {
        if (what === 'delete') {
          index.delete(name);
          model.delete(name);
        } else if (what === 'add' && !model.has(name)) {
          index.add(name, `value of ${name}`);
          model.set(name, `value of ${name}`);
        } else if (what === 'look') {
          const expected = [...model.keys()].filter((key) => after === undefined || key > after).sort();
          expect([...index.after(after)]).toEqual(expected.map((key) => model.get(key)));
        }
        expect(index.get(name)).toBe(model.get(name));
        expect(index.size).toBe(model.size);
      }
    }),
  );
});

test('stamps always rise, whatever the clock does', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(1000)), (clock) => {
      let last = nextHlc(undefined, 500);
      for (const nowMs of clock) {
        const next = nextHlc(last, nowMs);
        expect(compareHlc(next, last)).toBeGreaterThan(0);
        expect(next.ms).toBe(Math.max(last.ms, nowMs));
        last = next;
      }
    }),
  );
});
