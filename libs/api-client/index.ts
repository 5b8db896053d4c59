/**
 * Talking to a running api from outside: typed admin calls, and signed webhooks as a broker sends them.
 * Does not live here: what commands print, and the api itself.
 */
export { ApiClient, type ApiAccess, type CommandBody, type DesktopCommand, type HostChange } from './api-client';
export { findApi } from './find-api';
export { sendEvent, sendWebhook, type WebhookAnswer, type WebhookMessage } from './send-webhook';
