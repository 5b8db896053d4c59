import { Module, type DynamicModule, type Provider } from '@nestjs/common';
import { AdminModule } from './admin';
import { tokens, type ApiDependencies } from './dependencies';
import { HealthModule } from './health';
import { WebhooksModule } from './webhooks';

@Module({})
export class ApiModule {
  static with(dependencies: ApiDependencies): DynamicModule {
    const providers: Provider[] = Object.entries(tokens).map(([name, provide]) => ({
      provide,
      useValue: dependencies[name as keyof ApiDependencies],
    }));
    return {
      module: ApiModule,
      global: true,
      imports: [WebhooksModule, AdminModule, HealthModule],
      providers,
      exports: Object.values(tokens),
    };
  }
}
