import { CopyButton } from "./CopyButton";
import "./Source.css";

interface SourceProps {
	/** The language. */
	name: string;
	/** What a download is called; without one, there is none. */
	fileName?: string;
	text: string;
}

/** Text that a program reads, to be copied or downloaded. */
export function Source({ name, fileName, text }: SourceProps) {
	return (
		<section>
			<h2>{name}</h2>
			<p className="actions">
				{fileName && (
					<button type="button" onClick={() => download(text, fileName)}>
						Download
					</button>
				)}
				<CopyButton text={text} />
			</p>
			{/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard */}
			<section className="source" tabIndex={0} aria-label={name}>
				<pre>{text}</pre>
			</section>
		</section>
	);
}

function download(text: string, fileName: string) {
	const address = URL.createObjectURL(new Blob([text]));
	const link = Object.assign(document.createElement("a"), { href: address, download: fileName });
	link.click();
	URL.revokeObjectURL(address);
}
