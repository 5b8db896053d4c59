/** `node link-process.js PORT`: the HTTP server at a port, behind a link. Says at which port that is. */
import { net, throttleHttp } from './throttle';

void throttleHttp(Number(process.argv[2]), net).then(({ port }) => process.stdout.write(`${port}\n`));
