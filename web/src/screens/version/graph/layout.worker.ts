import { layout, type Vertex } from "./layout";

// A network of hundreds of layers may take seconds to lay out, in which the page must answer.
self.onmessage = ({ data }: MessageEvent<readonly Vertex[]>) => self.postMessage(layout(data));
