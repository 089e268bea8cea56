import { layout, type Vertex } from "./layout";

// A network of a thousand layers takes seconds to lay out, in which the page must answer.
self.onmessage = ({ data }: MessageEvent<readonly Vertex[]>) => self.postMessage(layout(data));
