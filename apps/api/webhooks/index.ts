/** What brokers send. Verified and parsed here; what an event means for a desktop is decided in libs/session. */
export { WebhooksModule } from './webhooks.module';
