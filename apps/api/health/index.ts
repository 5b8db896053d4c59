/** Is the process alive, can it work, how does it do. Open to everybody: nothing here names a desktop or a user. */
export { HealthModule } from './health.module';
