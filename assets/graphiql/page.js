// Starts GraphiQL. A file of its own, because the page allows no script inside the HTML.
"use strict";

(() => {
  const httpUrl = new URL("graphql", document.baseURI);
  const webSocketUrl = new URL("graphql/ws", document.baseURI);
  webSocketUrl.protocol = httpUrl.protocol === "https:" ? "wss:" : "ws:";

  // What stands in the editors is kept in the address, so that it can be sent to a colleague.
  const parameters = new URLSearchParams(window.location.search);
  const keep = (name) => (value) => {
    if (value) {
      parameters.set(name, value);
    } else {
      parameters.delete(name);
    }
    const search = parameters.toString();
    window.history.replaceState(null, "", search ? `?${search}` : window.location.pathname);
  };
  const given = (name) => parameters.get(name) || undefined;

  const page = React.createElement(GraphiQL, {
    // A header such as Authorization is sent with subscriptions too, as connection parameters.
    fetcher: GraphiQL.createFetcher({
      url: httpUrl.href,
      subscriptionUrl: webSocketUrl.href,
      // With it, a request may belong to the session of the web page.
      headers: { "graphql-preflight": "1" },
    }),
    query: given("query"),
    variables: given("variables"),
    operationName: given("operationName"),
    defaultQuery: document.getElementById("default-query").content.textContent,
    onEditQuery: keep("query"),
    onEditVariables: keep("variables"),
    onEditOperationName: keep("operationName"),
    shouldPersistHeaders: false,
  });
  ReactDOM.createRoot(document.getElementById("graphiql")).render(page);
})();
