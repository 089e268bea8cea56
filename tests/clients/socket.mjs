// Subscribes over a WebSocket with npm `graphql-ws`. Usage: node socket.mjs URL JOB
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';

const [url, job] = process.argv.slice(2);
const client = createClient({ url: `${url.replace('http', 'ws')}/ws`, webSocketImpl: WebSocket, retryAttempts: 0 });

async function all(query, variables) {
  const seen = [];
  for await (const result of client.iterate({ query, variables })) {
    seen.push(result);
  }
  return seen;
}

const query = 'subscription($id: ID!) { job(id: $id) { status } }';
// Two concurrent subscriptions over one connection.
const [first, second] = await Promise.all([all(query, { id: job }), all(query, { id: job })]);
const once = await all('{ serverInfo { version } }');
const refused = await all('subscription { nothing }').catch((errors) => ({ errors }));
await client.dispose();
console.log(JSON.stringify({ first, second, once, refused }));
