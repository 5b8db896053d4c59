/**
 * Every error code Dormouse can answer with: its HTTP status and its short title (RFC 9457 `title`).
 * Codes are stable: clients match on them. Add freely, never rename.
 */
export const errorCodes = {
  // Requests
  UNAUTHENTICATED: { status: 401, title: 'The request carries no valid key' },
  FORBIDDEN: { status: 403, title: 'The key does not allow this' },
  RATE_LIMITED: { status: 429, title: 'Too many requests in a short time' },
  SIGNATURE_INVALID: { status: 401, title: 'The webhook signature does not match' },
  SIGNATURE_STALE: { status: 401, title: 'The webhook timestamp is too far from now' },
  EVENT_MALFORMED: { status: 400, title: 'The event is not one Dormouse understands' },
  REQUEST_INVALID: { status: 400, title: 'The request is not valid' },
  REQUEST_TOO_LARGE: { status: 413, title: 'The body of the request is too large' },
  MEDIA_TYPE_UNSUPPORTED: { status: 415, title: 'The body of the request is not of a type that is read here' },
  ROUTE_UNKNOWN: { status: 404, title: 'There is nothing at this address' },
  DESKTOP_UNKNOWN: { status: 404, title: 'No desktop is registered under this id' },
  OPERATION_UNKNOWN: { status: 404, title: 'No operation has this id' },
  POOL_UNKNOWN: { status: 404, title: 'No pool has this id' },
  API_KEY_UNKNOWN: { status: 404, title: 'No key of the api has this name' },
  API_KEY_EXISTS: { status: 409, title: 'There is, or was, a key of this name' },
  DESKTOP_BUSY: { status: 409, title: 'The desktop is in a state that does not allow this' },
  USER_PRESENT: { status: 409, title: 'A user is connected to the desktop' },
  PRESENCE_UNKNOWN: { status: 409, title: 'It is not known whether a user is connected to the desktop' },
  HOST_UNSUITABLE: { status: 409, title: 'The host cannot build the machine the checkpoint was made on' },
  HOST_UNAVAILABLE: { status: 503, title: 'No worker answers for this host' },
  // Hosts and machines
  QEMU_MISSING: { status: 503, title: 'QEMU is not installed on the host' },
  QEMU_TOO_OLD: { status: 503, title: 'The QEMU on the host is too old' },
  USERFAULTFD_DENIED: { status: 503, title: 'The host does not permit userfaultfd' },
  LAUNCH_SPEC_INVALID: { status: 422, title: 'The launch spec cannot be started' },
  DESKTOP_NOT_MIGRATABLE: { status: 422, title: 'A device of the launch spec cannot be saved or woken' },
  MACHINE_START_FAILED: { status: 500, title: 'The machine did not start' },
  MACHINE_GONE: { status: 500, title: 'The machine is no longer running' },
  QMP_FAILED: { status: 500, title: 'QEMU refused a command' },
  QMP_DISCONNECTED: { status: 500, title: 'QEMU closed its control socket' },
  MIGRATION_FAILED: { status: 500, title: 'QEMU gave up the migration' },
  STREAM_MALFORMED: { status: 500, title: 'The migration stream is not one Dormouse can read' },
  PAGER_FAILED: { status: 500, title: 'The pager failed' },
  GUEST_UNRESPONSIVE: { status: 500, title: 'The guest did not answer in time' },
  // Checkpoints and storage
  CHECKPOINT_UNKNOWN: { status: 404, title: 'No such checkpoint' },
  CHECKPOINT_CORRUPT: { status: 500, title: 'An object of the checkpoint is damaged' },
  CHECKPOINT_INCOMPLETE: { status: 500, title: 'An object of the checkpoint is missing' },
  CHECKPOINT_KEY_MISMATCH: { status: 500, title: 'The checkpoint was written with another key' },
  DISK_SOURCE_MISSING: { status: 500, title: 'A disk layer or image that the checkpoint needs is missing' },
  DISK_SOURCE_CHANGED: { status: 500, title: 'A disk layer or image that the checkpoint needs has changed' },
  FORMAT_UNSUPPORTED: { status: 500, title: 'The checkpoint has a format this version does not know' },
  KEY_UNAVAILABLE: { status: 503, title: 'The keys of checkpoints cannot be reached' },
  KEY_REJECTED: { status: 500, title: 'A wrapped key was not accepted by its provider' },
  KEY_MISSING: { status: 500, title: 'The data key of a desktop is gone' },
  CONTENT_INDEX_CORRUPT: { status: 500, title: 'The index of an image is damaged' },
  STORAGE_FULL: { status: 507, title: 'The storage is full' },
  STORAGE_FAILED: { status: 502, title: 'The storage did not do what was asked' },
  STORAGE_OBJECT_MISSING: { status: 404, title: 'The storage has no such object' },
  // Sessions
  SUPERSEDED: { status: 409, title: 'A newer decision has overtaken this operation' },
  CANCELLED: { status: 409, title: 'The operation was cancelled' },
  WORKER_LOST: { status: 500, title: 'The worker died during the operation' },
  JOB_UNHANDLED: { status: 500, title: 'A job has no handler, or two' },
  // Set-up
  CONFIG_INVALID: { status: 500, title: 'The configuration is not valid' },
  DEPENDENCY_MISSING: { status: 500, title: 'A program that Dormouse needs is not installed' },
  DATA_DIRECTORY_IN_USE: { status: 503, title: 'Another Dormouse is using the data directory' },
  SERVICE_UNAVAILABLE: { status: 503, title: 'A service that Dormouse needs does not answer' },
  INTERNAL: { status: 500, title: 'Something unexpected went wrong' },
} as const satisfies Record<string, { status: number; title: string }>;

export type ErrorCode = keyof typeof errorCodes;
