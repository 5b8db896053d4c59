/** What administrators ask for: shapes are checked here, what is allowed when is decided in libs/session. */
export { AdminModule } from './admin.module';
