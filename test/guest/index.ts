/**
 * Real Linux guests: a small one for tests and the demo, a desktop for figures. How they are built from the distribution's
 * packages, and a client for the questions they answer on their second serial port. Does not start machines: that is the hypervisor's matter.
 */
export { askAgent, runInGuest } from './agent';
export { GuestClient } from './guest-client';
export { defaultGuestCache, ensureGuestImage, type GuestImage } from './guest-image';
export type { GuestKind } from './recipe';
