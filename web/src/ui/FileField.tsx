import { type DragEvent, useState } from "react";
import { useDocument } from "../api/queries";
import { graphql } from "../gql";
import { bytes } from "./format";
import { oversize } from "./oversize";
import "./FileField.css";

const LIMITS = graphql(`
	query UploadLimits {
		serverInfo {
			limits {
				fileBytes
				uploadBytes
			}
		}
	}
`);

/** Takes files that the reader chooses or drops, one at a time, unless they are larger than what the server takes. */
export function useFileChoice(take: (file: File) => void) {
	const [refusal, setRefusal] = useState<string | null>(null);
	const limits = useDocument(LIMITS, {}).data?.serverInfo.limits;
	const choose = (files: FileList | null) => {
		const file = files?.[0];
		if (!file) return;
		const refused = oversize(file, limits && Math.min(limits.fileBytes, limits.uploadBytes));
		setRefusal(refused);
		if (!refused) take(file);
	};
	const drop = (event: DragEvent) => {
		event.preventDefault();
		choose(event.dataTransfer.files);
	};
	// Without the first one, a browser opens what is dropped in place of the page.
	return { refusal, choose, target: { onDragOver: (event: DragEvent) => event.preventDefault(), onDrop: drop } };
}

interface FileFieldProps {
	label: string;
	/** The files that the browser offers. */
	accept: string;
	choice: Pick<ReturnType<typeof useFileChoice>, "refusal" | "choose">;
	chosen?: File | null;
}

/** The field to choose a file with. It says what is chosen, or why it was not taken. */
export function FileField({ label, accept, choice: { refusal, choose }, chosen }: FileFieldProps) {
	return (
		<>
			<label className="file">
				<input
					type="file"
					className="visually-hidden"
					accept={accept}
					onChange={(event) => {
						choose(event.target.files);
						// So that the same file can be chosen again after it has changed.
						event.target.value = "";
					}}
				/>
				{label}
			</label>
			{chosen && (
				<p role="status">
					<bdi>{chosen.name}</bdi> <span className="quiet">{bytes(chosen.size)}</span>
				</p>
			)}
			{refusal && (
				<p role="alert" className="notice bad">
					{refusal}
				</p>
			)}
		</>
	);
}
