import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Lane, type Slot, Slots } from '../../src/main/engine/slots.ts';
import { RequestError } from '../../src/protocol/errors.ts';
import { KIB, MIB } from '../../src/protocol/limits.ts';

const takeAll = (slots: Slots, lane: Lane, bytes: number) => {
  const taken: Slot[] = [];
  for (let slot = slots.tryTake(lane, bytes); slot; slot = slots.tryTake(lane, bytes)) taken.push(slot);
  return taken;
};

describe('slots', () => {
  it('never overlap, stay inside the memory and leave room for a frame header', () => {
    const sizes = fc.constantFrom(16 * KIB, 64 * KIB, 512 * KIB, MIB);
    const steps = fc.array(fc.record({ take: fc.boolean(), bytes: sizes, pick: fc.nat() }), { maxLength: 300 });
    fc.assert(
      fc.property(steps, (script) => {
        const slots = new Slots(4 * MIB);
        const held: { slot: Slot; end: number }[] = [];
        for (const { take, bytes, pick } of script) {
          const slot = take ? slots.tryTake('download', bytes) : undefined;
          if (slot) {
            const end = slot.offset + bytes;
            expect(slot.frame(bytes).byteOffset).toBeGreaterThanOrEqual(slot.start);
            expect(slot.frame(bytes).byteOffset + 16).toBe(slot.body(bytes).byteOffset);
            expect(end).toBeLessThanOrEqual(slots.memory.byteLength);
            for (const other of held) expect(end <= other.slot.start || other.end <= slot.start).toBe(true);
            held.push({ slot, end });
          } else if (held.length > 0) {
            const [freed] = held.splice(pick % held.length, 1);
            if (freed) slots.release(freed.slot);
          }
        }
        for (const { slot } of held) slots.release(slot);
        expect(slots.heldBytes('download')).toBe(0);
        expect(takeAll(slots, 'download', 16 * KIB).length).toBe(
          takeAll(new Slots(4 * MIB), 'download', 16 * KIB).length,
        );
      }),
    );
  });

  it('keep a quarter for the other lane', () => {
    const slots = new Slots(8 * MIB);
    const downloads = takeAll(slots, 'download', 512 * KIB);
    const uploads = takeAll(slots, 'upload', 512 * KIB);
    expect(downloads.length).toBe(11);
    expect(uploads.length).toBeGreaterThanOrEqual(3);
  });

  it('go to those who wait in the order in which they came, and nobody overtakes', () => {
    const slots = new Slots(8 * MIB);
    const held = takeAll(slots, 'download', 512 * KIB);
    const served: string[] = [];
    slots.wait('download', 2 * MIB, () => served.push('big'));
    const stop = slots.wait('download', 16 * KIB, () => served.push('stopped'));
    slots.wait('download', 16 * KIB, () => served.push('small'));
    stop();
    for (const slot of held.slice(0, 3)) slots.release(slot);
    expect(slots.tryTake('download', 16 * KIB)).toBeUndefined();
    expect(served).toEqual([]);
    for (const slot of held.slice(3)) slots.release(slot);
    expect(served).toEqual(['big', 'small']);
  });

  it('serve a waiter that comes while there is room', async () => {
    const slots = new Slots(8 * MIB);
    const slot = await new Promise<Slot>((resolve) => slots.wait('upload', 512 * KIB, resolve));
    expect(slot.lane).toBe('upload');
  });

  it('say what to do when a piece can never fit', () => {
    const slots = new Slots(8 * MIB);
    expect(() => slots.checkFits(4 * MIB)).not.toThrow();
    expect(() => slots.checkFits(16 * MIB)).toThrow(RequestError);
    expect(() => slots.checkFits(16 * MIB)).toThrow(/16 MiB/);
  });

  it('notice a second release', () => {
    const slots = new Slots(MIB);
    const slot = slots.tryTake('download', 16 * KIB);
    if (!slot) throw new Error('there is room');
    slots.release(slot);
    expect(() => slots.release(slot)).toThrow(/invariant/);
  });
});
