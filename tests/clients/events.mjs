// Subscribes to events with npm `graphql-sse`, with one connection per subscription. Usage: node events.mjs URL JOB
import { createClient } from 'graphql-sse';

const [url, job] = process.argv.slice(2);
const client = createClient({ url, singleConnection: false, retryAttempts: 0 });

async function all(query, variables) {
  const seen = [];
  for await (const result of client.iterate({ query, variables })) {
    seen.push(result);
  }
  return seen;
}

const watched = await all('subscription($id: ID!) { job(id: $id) { status } }', { id: job });
const once = await all('{ serverInfo { version } }');
const refused = await all('subscription { nothing }').catch((error) => ({ message: `${error}` }));
client.dispose();
console.log(JSON.stringify({ watched, once, refused }));
