import { framePages } from './layout';

/**
 * Places as single numbers. A save asks for a place a quarter of a million times for each GiB: objects would keep the
 * collector busy for as long as the guest is read.
 */

/** A slot of a frame. */
export const slotPlace = (frame: number, slot: number): number => frame * framePages + slot;
export const frameOf = (place: number): number => Math.floor(place / framePages);
export const slotOf = (place: number): number => place % framePages;

const mostBlocks = 2 ** 32;

/** A block of a numbered disk source. */
export const blockPlace = (source: number, block: number): number => source * mostBlocks + block;
export const sourceOf = (place: number): number => Math.floor(place / mostBlocks);
export const blockOf = (place: number): number => place % mostBlocks;
