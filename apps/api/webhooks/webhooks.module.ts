import { Module } from '@nestjs/common';
import { AccessModule } from '../access';
import { ReceiveWebhook } from './receive-webhook.usecase';
import { WebhooksController } from './webhooks.controller';

@Module({ imports: [AccessModule], controllers: [WebhooksController], providers: [ReceiveWebhook] })
export class WebhooksModule {}
