/** Who may ask, and the trace that a refused request leaves. Scopes and rates are not here: there is one key so far. */
export { Actor, actorOf, setActor } from './actor';
export { AccessModule } from './access.module';
export { AdminKeyGuard } from './admin-key.guard';
export { ChangeInterceptor, Changes } from './changes';
export { RefusalLog } from './refusal-log';
