import { useState } from "react";
import { copyText } from "../../ui/CopyButton";
import { useDraft } from "./draft";
import { fragmentOf } from "./link";

/** Copies an address that shows the network as it is. */
export function CopyLink() {
	const { dataset, blocks } = useDraft();
	const [said, setSaid] = useState({ blocks, text: "" });
	const copy = async () => {
		const fragment = await fragmentOf({ dataset, blocks });
		if (fragment === null) return "The network is too large for a link. Copy it as JSON.";
		const address = new URL(`/build#${fragment}`, location.href);
		return copyText(address.href).then(
			() => "The link is copied.",
			({ message }: Error) => `${message} Copy the address of this page.`,
		);
	};
	return (
		<>
			<span role="status" className="quiet">
				{said.blocks === blocks && said.text}
			</span>
			<button type="button" onClick={async () => setSaid({ blocks, text: await copy() })}>
				Copy link
			</button>
		</>
	);
}
