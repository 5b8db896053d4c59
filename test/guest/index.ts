/**
 * A small real Linux guest for tests and the demo: how it is built from the distribution's packages, and a client for the
 * questions it answers on its second serial port. Does not start machines: that is the hypervisor's matter.
 */
export { GuestClient } from './guest-client';
export { defaultGuestCache, ensureGuestImage, type GuestImage } from './guest-image';
