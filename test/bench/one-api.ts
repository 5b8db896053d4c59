/** An api over desktops that nothing happens to by itself: no worker, and a grace that outlasts every measurement. */
export const oneApi = {
  hosts: 1,
  workers: 0,
  apis: 1,
  desktopMiB: 64,
  speed: 1,
  failureRate: 0,
  graceMs: 3_600_000,
} as const;
