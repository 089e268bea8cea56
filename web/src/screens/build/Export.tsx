import { useDocument } from "../../api/queries";
import { graphql } from "../../gql";
import type { BlockInput } from "../../gql/graphql";
import { Answer } from "../../ui/Answer";
import { Dialog } from "../../ui/Dialog";
import { Source } from "../../ui/Source";
import { useDraft } from "./draft";

const CODE = graphql(`
	query CodeOfBlocks($blocks: [BlockInput!]!, $dataset: String!) {
		validateBlocks(blocks: $blocks, dataset: $dataset) {
			code
		}
	}
`);

/** The network as files: its blocks, and the source code that builds it. */
export function Export({ onClose }: { onClose: () => void }) {
	const { blocks, dataset } = useDraft();
	const found = useDocument(CODE, { blocks: blocks as BlockInput[], dataset });
	return (
		<Dialog title="Export the network" onClose={onClose}>
			<p className="quiet">
				ONNX and safetensors hold weights, so they are among the files of a version: train the network, or register it
				with weights.
			</p>
			<Source name="Blocks" fileName="network.json" text={JSON.stringify(blocks, null, 2)} />
			<Answer query={found} rows={6}>
				{({ validateBlocks: { code } }) =>
					code ? (
						<Source name="PyTorch" fileName="network.py" text={code} />
					) : (
						<p>The network has faults. There is PyTorch code once they are corrected.</p>
					)
				}
			</Answer>
		</Dialog>
	);
}
